#include "agent/link_speed.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temporary_directory.h"

using namespace plexvol;  // NOLINT(google-build-using-namespace)
using plexvol::support::TemporaryDirectory;

TEST_CASE("link speed: it is the kernel's, of the interface with the address [O19]") {
  const TemporaryDirectory sys;
  std::filesystem::create_directory(sys.path() / "lo");
  const auto speed = [&](const std::string& text) {
    std::ofstream(sys.path() / "lo" / "speed") << text;
    return find_link_speed("127.0.0.1", sys.path().string());
  };
  CHECK(find_link_speed("127.0.0.1", sys.path().string()) == 0);
  CHECK(speed("1000\n") == 1000);
  CHECK(speed("25000\n") == 25000);
  for (const char* unknown : {"-1\n", "0\n", "10\n", "", "fast\n", "4294967295\n"}) {
    CAPTURE(unknown);
    CHECK(speed(unknown) == 0);
  }
  speed("1000\n");
  for (const char* address : {"", "192.0.2.1", "nonsense"}) {
    CHECK(find_link_speed(address, sys.path().string()) == 0);
  }
}

TEST_CASE("link speed: all resyncs together leave a fifth of the link to others [O19]") {
  CHECK(resync_rate_for(1000, 1) == 95);
  CHECK(resync_rate_for(1000, 2) == 47);
  CHECK(resync_rate_for(10000, 2) == 476);
  CHECK(resync_rate_for(100, 2) == 4);
  CHECK(resync_rate_for(100, 100) == 1);
  CHECK(resync_rate_for(400000, 1) == 4096);
  CHECK(resync_rate_for(0, 2) == 100);
}
