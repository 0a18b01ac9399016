#include "agent/filesystem/stacked.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol::filesystem;  // NOLINT(google-build-using-namespace)
using plexvol::mounts::DeviceNumber;
using plexvol::support::can_use_loop_devices;
using plexvol::support::LoopDevice;
using plexvol::support::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {

// A /sys with a device, as far as it is looked at: this machine may have no device-mapper.
struct Sys {
  TemporaryDirectory directory;
  fs::path root = directory.path();

  Sys() {
    make("devices/drbd0", "147:0");
    fs::create_directories(root / "dev/block");
    fs::create_directory_symlink("../../devices/drbd0", root / "dev/block/147:0");
  }
  void make(const std::string& folder, const std::string& number) const {
    write(folder + "/dev", number);
  }
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text << "\n";
  }
  std::string path() const { return root.string(); }
};

constexpr DeviceNumber kVolume{.major = 147, .minor = 0};

}  // namespace

TEST_CASE("stacked: what holds a device open is found, with its name [D3]") {
  const Sys sys;
  CHECK(list_holders(kVolume, sys.path()).empty());
  sys.make("devices/drbd0/holders/dm-3", "253:3");
  sys.write("devices/drbd0/holders/dm-3/dm/name", "secret");
  sys.make("devices/drbd0/holders/md0", "9:0");
  auto holders = list_holders(kVolume, sys.path());
  std::sort(holders.begin(), holders.end(),
            [](const auto& one, const auto& other) { return one.name < other.name; });
  REQUIRE(holders.size() == 2);
  CHECK(holders[0].name == "dm-3 (secret)");
  CHECK(holders[0].number == DeviceNumber{.major = 253, .minor = 3});
  CHECK(holders[1].name == "md0");
}

TEST_CASE("stacked: partitions of a device are found [D3]") {
  const Sys sys;
  sys.write("devices/drbd0/size", "2048");
  sys.make("devices/drbd0/drbd0p1", "259:1");
  const auto partitions = list_partitions(kVolume, sys.path());
  REQUIRE(partitions.size() == 1);
  CHECK(partitions[0].number == DeviceNumber{.major = 259, .minor = 1});
}

TEST_CASE("stacked: a device that is gone has nothing on it") {
  const Sys sys;
  const DeviceNumber gone{.major = 147, .minor = 9};
  CHECK(list_holders(gone, sys.path()).empty());
  CHECK(list_partitions(gone, sys.path()).empty());
  CHECK(kernel_name(gone, sys.path()).empty());
  CHECK(kernel_name(kVolume, sys.path()) == "drbd0");
  CHECK_FALSE(has_filesystem_mounted(gone, sys.path()));
}

TEST_CASE("stacked: the kernel tells which file systems it has mounted [D10]") {
  const Sys sys;
  CHECK_FALSE(has_filesystem_mounted(kVolume, sys.path()));
  sys.write("fs/xfs/drbd0/stats", "");
  CHECK(has_filesystem_mounted(kVolume, sys.path()));
}

TEST_CASE("stacked: a loop device's file is found by the device that it lies on [D3]") {
  if (!can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const LoopDevice device(directory.path() / "image", 1U << 20U);
  const DeviceNumber number{.major = device.major(), .minor = device.minor()};
  auto loops = list_loops();
  std::erase_if(loops, [&](const Loop& loop) { return loop.number != number; });
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].backing_file == (directory.path() / "image").string());
  struct stat status {};
  REQUIRE(stat(directory.path().c_str(), &status) == 0);
  const DeviceNumber below{.major = ::major(status.st_dev), .minor = ::minor(status.st_dev)};
  using Places = std::vector<LoopPlace>;
  CHECK(find_loop_places(loops, {below}) == Places{LoopPlace::OnDevices});
  const LoopPlace elsewhere = below.major == 0 ? LoopPlace::Unknown : LoopPlace::Elsewhere;
  CHECK(find_loop_places(loops, {kVolume}) == Places{elsewhere});
  CHECK(find_loop_places({}, {kVolume}).empty());
}
