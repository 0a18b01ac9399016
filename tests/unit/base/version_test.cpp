#include "agent/base/version.h"

#include <doctest/doctest.h>

#include <string>

using plexvol::base::parse_version;
using plexvol::base::Version;

TEST_CASE("version: the numbers at the beginning, as tools and kernels print them") {
  CHECK(parse_version("8.4.11") == Version{8, 4, 11});
  CHECK(parse_version("8.4.11-1") == Version{8, 4, 11});
  CHECK(parse_version("9.2.0-rc.4") == Version{9, 2, 0});
  CHECK(parse_version("5.10.0-28-amd64") == Version{5, 10, 0});
  CHECK(parse_version("3.10") == Version{3, 10, 0});
  CHECK(parse_version("6.1-rc3") == Version{6, 1, 0});
  CHECK(parse_version("4.9.") == Version{4, 9, 0});
  CHECK(parse_version("2.03.16(2) (2022-05-18)") == Version{2, 3, 16});
  CHECK(parse_version("1.2.3.4") == Version{1, 2, 3});
  CHECK(parse_version("8.4.9") < parse_version("8.4.11"));
  CHECK(parse_version("2.02.100") > parse_version("2.02.99"));
}

TEST_CASE("version: what cannot be read is older than everything") {
  for (const char* text : {"", ".", "8", "8.", "x8.4.1", " 8.4.1", "-8.4", "+8.4", "8.-4", "8.x",
                           "99999999999.4.1", "8.99999999999.1", "8.4.99999999999", "v5.10"}) {
    CAPTURE(text);
    CHECK(parse_version(text) == Version{});
  }
  CHECK(parse_version(std::string(100'000, '9')) == Version{});
  CHECK(parse_version(std::string("8.4\0.11", 7)) == Version{8, 4, 0});
}
