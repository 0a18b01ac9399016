#include "agent/kube/watched_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::kube {

TEST_CASE("a watched file is read again when it is another, and kept when it is gone") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "token";
  WatchedFile file(path, "token file");
  CHECK_THROWS_AS(file.read(), Error);

  REQUIRE(base::replace_file(path, "one"));
  CHECK(file.read() == "one");
  REQUIRE(base::replace_file(path, "two"));
  CHECK(file.read() == "two");

  std::filesystem::remove(path);
  CHECK(file.read() == "two");
  CHECK(file.read(true) == "two");
  REQUIRE(base::replace_file(path, "three"));
  CHECK(file.read() == "three");
}

TEST_CASE("a kubelet's file, which is a link below a link that is replaced") {
  const support::TemporaryDirectory directory;
  const std::string folder = directory.path();
  const auto publish = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directory(folder + "/" + name);
    REQUIRE(base::replace_file(folder + "/" + name + "/token", text));
    REQUIRE(symlink(name.c_str(), (folder + "/fresh").c_str()) == 0);
    std::filesystem::rename(folder + "/fresh", folder + "/..data");
  };
  publish("..1", "one");
  REQUIRE(symlink("..data/token", (folder + "/token").c_str()) == 0);
  WatchedFile file(folder + "/token", "token file");
  CHECK(file.read() == "one");
  publish("..2", "two");
  CHECK(file.read() == "two");
}

TEST_CASE("a watched file is read again when told so, though it looks the same") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "token";
  REQUIRE(base::replace_file(path, "one"));
  const auto time = std::filesystem::last_write_time(path);
  WatchedFile file(path, "token file");
  CHECK(file.read() == "one");
  const base::Descriptor same(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(base::write_all(same.get(), "two"));
  std::filesystem::last_write_time(path, time);
  CHECK(file.read() == "one");
  CHECK(file.read(true) == "two");
}

TEST_CASE("a huge file is none") {
  const support::TemporaryDirectory directory;
  const std::string path = directory.path() / "token";
  REQUIRE(base::replace_file(path, std::string((1U << 20U) + 1, 'x')));
  CHECK_THROWS_AS(WatchedFile(path, "token file").read(), Error);
}

}  // namespace plexvol::kube
