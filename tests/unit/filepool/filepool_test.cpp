#include "agent/filepool/filepool.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "agent/api/error.h"
#include "agent/process/boost_runner.h"
#include "tests/support/failing_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::filepool::FilePool;
using plexvol::filepool::find_loop_device;
using plexvol::filepool::Image;
using plexvol::support::can_use_loop_devices;
using plexvol::support::FailingRunner;
using plexvol::support::FailsWhen;
using plexvol::support::TemporaryDirectory;
using Words = std::vector<std::string>;

namespace {

constexpr std::uint64_t kSize = 16U << 20U;

struct Pool {
  TemporaryDirectory directory;
  plexvol::process::BoostRunner runner;
  FilePool files{runner, directory.path().string(), std::chrono::milliseconds(1)};

  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    for (const char* name : {"v1", "v2"}) {
      try {
        files.remove_image(name);
      } catch (const Error&) {
        MESSAGE("a loop device is left over");
      }
    }
  }

  std::string path(const std::string& file) const { return (directory.path() / file).string(); }
  bool has(const std::string& file) const { return std::filesystem::exists(path(file)); }
};

template <class Work>
ErrorCode code_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("it did not throw");
  return ErrorCode::Internal;
}

// Makes and removes an image while the k-th command fails, and tries again what failed. How many
// commands there were.
std::size_t count_with_failure(std::size_t k, FailsWhen when) {
  CAPTURE(k);
  Pool pool;
  FailingRunner failing(pool.runner, k, when);
  FilePool files(failing, pool.directory.path().string(), std::chrono::milliseconds(1));
  const auto twice_if_needed = [](const auto& work) {
    try {
      work();
    } catch (const Error&) {
      work();
    }
  };
  // What the reconciler does: look, and make or activate what is missing.
  twice_if_needed([&] {
    if (!files.find_image("v1")) files.create_image("v1", kSize, {"one"});
    files.activate("v1");
  });
  const auto image = pool.files.find_image("v1");
  REQUIRE(image.has_value());
  CHECK_FALSE(image->device.empty());
  CHECK(image->tags == Words{"one"});
  twice_if_needed([&] { files.remove_image("v1"); });
  CHECK(std::filesystem::is_empty(pool.directory.path()));
  return failing.count();
}

}  // namespace

TEST_CASE("loop devices are listed, whatever bytes the names of their files hold [O18]") {
  if (!can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const std::string path = (directory.path() / "not utf-8: \xff\xfe\\\n\"x").string();
  const plexvol::support::LoopDevice strange(path, kSize);
  bool seen = false;
  for (const auto& loop : plexvol::filepool::list_loop_devices()) {
    if (loop.device != strange.path()) continue;
    seen = true;
    CHECK(loop.backing_file == path);
  }
  CHECK(seen);
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  const plexvol::filepool::FileNumber number{
      .major = major(status.st_dev), .minor = minor(status.st_dev), .inode = status.st_ino};
  const auto devices = plexvol::filepool::list_loop_devices_by_file();
  CHECK(find_loop_device(devices, number) == strange.path());
  CHECK(find_loop_device(devices, {.major = number.major, .minor = number.minor, .inode = 1})
            .empty());
  // A pool beside it works.
  Pool pool;
  pool.files.create_image("v1", kSize, {"one"});
  CHECK(pool.files.list_images().size() == 1);
  pool.files.remove_image("v1");
  CHECK(plexvol::filepool::list_deleted_loop_devices(path).empty());
  std::filesystem::remove(path);
  CHECK(plexvol::filepool::list_deleted_loop_devices(path) == Words{strange.path()});
}

TEST_CASE("a loop device is known by its file's number, not by its name") {
  if (!can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const plexvol::support::LoopDevice device(directory.path() / "file", kSize);
  std::filesystem::rename(directory.path() / "file", directory.path() / "other");
  struct stat status {};
  REQUIRE(stat((directory.path() / "other").c_str(), &status) == 0);
  plexvol::filepool::FileNumber number{
      .major = major(status.st_dev), .minor = minor(status.st_dev), .inode = status.st_ino};
  CHECK(plexvol::filepool::is_loop_device_on(device.path(), number));
  ++number.inode;
  CHECK_FALSE(plexvol::filepool::is_loop_device_on(device.path(), number));
  CHECK_FALSE(plexvol::filepool::is_loop_device_on("/dev/no-such-loop", number));
}

TEST_CASE("an image is made with its tags and a loop device, and goes with all of it") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  CHECK_FALSE(pool.files.find_image("v1").has_value());
  pool.files.create_image("v1", kSize, {"one", "two"});
  const auto image = pool.files.find_image("v1");
  REQUIRE(image.has_value());
  CHECK(image->name == "v1");
  CHECK(image->path == pool.path("v1.img"));
  CHECK(image->size_bytes == kSize);
  CHECK(image->tags == Words{"one", "two"});
  CHECK(image->device.starts_with("/dev/loop"));
  struct stat status {};
  REQUIRE(stat(image->path.c_str(), &status) == 0);
  CHECK(status.st_blocks * 512 < static_cast<off_t>(kSize));

  pool.files.remove_image("v1");
  CHECK_FALSE(pool.files.find_image("v1").has_value());
  CHECK(std::filesystem::is_empty(pool.directory.path()));
  pool.files.remove_image("v1");
}

TEST_CASE("an image keeps its one loop device until it is deactivated") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"one"});
  const std::string device = pool.files.find_image("v1")->device;
  pool.files.activate("v1");
  CHECK(pool.files.find_image("v1")->device == device);
  pool.files.deactivate("v1");
  CHECK(pool.files.find_image("v1")->device.empty());
  pool.files.deactivate("v1");
  pool.files.activate("v1");
  CHECK_FALSE(pool.files.find_image("v1")->device.empty());
}

TEST_CASE("to find an image's loop device no tool is run, and what is remembered is not believed") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"one"});
  FailingRunner counting(pool.runner, 1000, FailsWhen::Before);
  FilePool files(counting, pool.directory.path().string(), std::chrono::milliseconds(1));
  const std::string device = files.find_image("v1")->device;
  CHECK_FALSE(device.empty());
  CHECK(files.find_image("v1")->device == device);
  // Changed by somebody else.
  pool.files.deactivate("v1");
  CHECK(files.find_image("v1")->device.empty());
  CHECK(counting.count() == 0);
}

TEST_CASE("tags can be changed") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"making", "one"});
  pool.files.set_tags("v1", {"one"});
  CHECK(pool.files.find_image("v1")->tags == Words{"one"});
  CHECK_THROWS_AS(pool.files.set_tags("v1", {"two\nlines"}), Error);
  CHECK(pool.files.find_image("v1")->tags == Words{"one"});
}

TEST_CASE("an image that somebody else made has no tags and is not overwritten") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  std::ofstream(pool.path("v1.img")) << "precious";
  CHECK(pool.files.find_image("v1")->tags.empty());
  CHECK(code_of([&] { pool.files.create_image("v1", kSize, {"one"}); }) ==
        ErrorCode::AlreadyExists);
  CHECK(pool.files.find_image("v1")->tags.empty());
  CHECK(std::filesystem::file_size(pool.path("v1.img")) == 8);
}

TEST_CASE("images are listed, other files are not") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v2", kSize, {"two"});
  pool.files.create_image("v1", kSize, {"one"});
  std::ofstream(pool.path("notes.txt")) << "x";
  std::ofstream(pool.path("v3.img.new")) << "x";
  std::ofstream(pool.path("v4.tags")) << "x";
  const std::vector<Image> images = pool.files.list_images();
  REQUIRE(images.size() == 2);
  CHECK(images[0].name == "v1");
  CHECK(images[1].name == "v2");
  CHECK(images[0].device != images[1].device);
}

TEST_CASE("an image in use is not removed, and the error names who uses it") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"one"});
  const std::string device = pool.files.find_image("v1")->device;
  plexvol::process::run_checked(pool.runner,
                                {.argv = {"/sbin/mkfs.ext4", "-q", device}, .input = {}});
  {
    const plexvol::support::Mount mounted(device, pool.directory.path() / "mnt", "ext4");
    try {
      pool.files.remove_image("v1");
      FAIL("it was removed");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::Conflict);
      CHECK(std::string(error.what()).find("mounted on " + mounted.point()) != std::string::npos);
    }
    CHECK(pool.files.find_image("v1")->device == device);
  }
  pool.files.remove_image("v1");
  CHECK_FALSE(pool.has("v1.img"));
}

TEST_CASE("the loop device of a file that was deleted by hand goes with the image") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"one"});
  const std::string device = pool.files.find_image("v1")->device;
  std::filesystem::remove(pool.path("v1.img"));
  CHECK_FALSE(pool.files.find_image("v1").has_value());
  // A new image of that name has a device of its own.
  pool.files.create_image("v1", kSize, {"two"});
  CHECK(pool.files.find_image("v1")->device != device);
  pool.files.remove_image("v1");
  const auto output = pool.runner.run({.argv = {"/sbin/losetup", "--list", device}, .input = {}});
  CHECK(output.out.find(pool.directory.path().string()) == std::string::npos);
}

TEST_CASE("whichever command of making or removing an image fails, the next try ends it") {
  if (!can_use_loop_devices()) return;
  for (const auto when : {FailsWhen::Before, FailsWhen::After}) {
    std::size_t k = 1;
    while (count_with_failure(k, when) >= k) ++k;
    CHECK(k > 3);
  }
}

TEST_CASE("an image larger than the free space is refused") {
  Pool pool;
  const std::uint64_t free_bytes = pool.files.space().free_bytes;
  CHECK(code_of([&] { pool.files.create_image("v1", free_bytes * 2, {"one"}); }) ==
        ErrorCode::OutOfSpace);
  CHECK(std::filesystem::is_empty(pool.directory.path()));
}

TEST_CASE("a pool without its directory is not found") {
  plexvol::process::BoostRunner runner;
  const FilePool files(runner, "/no/such/directory");
  CHECK(code_of([&] { files.space(); }) == ErrorCode::NotFound);
}

TEST_CASE("names that lead out of the directory are refused") {
  Pool pool;
  const auto codes_for = [&](const std::string& name) {
    return std::pair(code_of([&] { pool.files.remove_image(name); }),
                     code_of([&] { pool.files.create_image(name, kSize, {}); }));
  };
  for (const std::string name : {"", "..", "../x", "a/b", ".hidden", "/etc/passwd"}) {
    CAPTURE(name);
    CHECK(codes_for(name) == std::pair(ErrorCode::InvalidArgument, ErrorCode::InvalidArgument));
  }
}

TEST_CASE("an image grows with its device, and never shrinks") {
  if (!can_use_loop_devices()) return;
  Pool pool;
  pool.files.create_image("v1", kSize, {"tag"});
  const std::string device = pool.files.find_image("v1")->device;
  const auto device_size = [&] {
    std::ifstream file("/sys/block/" + device.substr(5) + "/size");
    std::uint64_t sectors = 0;
    file >> sectors;
    return sectors * 512;
  };
  pool.files.grow_image("v1", 2 * kSize);
  CHECK(pool.files.find_image("v1")->size_bytes == 2 * kSize);
  CHECK(device_size() == 2 * kSize);
  pool.files.grow_image("v1", kSize);
  CHECK(device_size() == 2 * kSize);

  SUBCASE("an agent that died between the two goes on") {
    std::filesystem::resize_file(pool.path("v1.img"), 3 * kSize);
    pool.files.grow_image("v1", 3 * kSize);
    CHECK(device_size() == 3 * kSize);
  }
  SUBCASE("more than there is room for is refused") {
    const std::uint64_t room = pool.files.space().total_bytes;
    CHECK(code_of([&] { pool.files.grow_image("v1", 2 * kSize + 2 * room); }) ==
          ErrorCode::OutOfSpace);
    CHECK(device_size() == 2 * kSize);
  }
  CHECK(code_of([&] { pool.files.grow_image("v2", kSize); }) == ErrorCode::NotFound);
}
