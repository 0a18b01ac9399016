#include "agent/filesystem/mounted_fault.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <cstdint>
#include <string>

#include "agent/base/descriptor.h"
#include "agent/filesystem/filesystem.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::filesystem::Filesystem;
using plexvol::filesystem::find_mounted_fault;
using plexvol::filesystem::kUuid;
using plexvol::support::can_use_loop_devices;
using plexvol::support::LoopDevice;
using plexvol::support::Mount;
using plexvol::support::TemporaryDirectory;

namespace {

struct Mounted {
  TemporaryDirectory directory;
  LoopDevice device;
  Mount mount;

  explicit Mounted(const std::string& type)
      : device(directory.path() / "image", std::uint64_t{320} << 20U),
        mount(made(type), directory.path() / "mnt", type.c_str()) {}

  std::string fault() const {
    return find_mounted_fault(mount.point(), device.major(), device.minor());
  }

 private:
  std::string made(const std::string& type) const {
    plexvol::process::BoostRunner runner;
    Filesystem(runner).make({.device = device.path(), .type = type, .uuid = kUuid, .options = {}});
    return device.path();
  }
};

// As the file system does by itself after an I/O error that it cannot work around.
void shut_down(const std::string& mount_point) {
  constexpr unsigned long kGoingDown = _IOR('X', 125, std::uint32_t);
  std::uint32_t flags = 2;  // without flushing the log
  const plexvol::base::Descriptor root(open(mount_point.c_str(), O_RDONLY | O_CLOEXEC));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): that is how it is told
  REQUIRE(ioctl(root.get(), kGoingDown, &flags) == 0);
}

}  // namespace

TEST_CASE("a mounted file system that has shut itself down is known by its answers [D12]") {
  if (!can_use_loop_devices()) return;
  for (const std::string type : {"ext4", "xfs"}) {
    CAPTURE(type);
    const Mounted mounted(type);
    CHECK(mounted.fault().empty());
    shut_down(mounted.mount.point());
    CHECK(mounted.fault() == "has shut itself down after an error (Input/output error)");
  }
}

TEST_CASE("one that was mounted read-only is in order, one that the kernel made so is not [D12]") {
  if (!can_use_loop_devices()) return;
  const Mounted mounted("ext4");
  const char* point = mounted.mount.point().c_str();
  REQUIRE(mount(nullptr, point, nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
  CHECK(mounted.fault().empty());
  // The file system is read-only, this mount of it is not: as after errors=remount-ro.
  REQUIRE(mount(nullptr, point, nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0);
  CHECK(mounted.fault() == "was made read-only by the kernel after an error");
}

TEST_CASE("where another file system is mounted, or none, there is no fault to tell [D12]") {
  if (!can_use_loop_devices()) return;
  const Mounted mounted("ext4");
  CHECK(
      find_mounted_fault(mounted.mount.point(), mounted.device.major(), mounted.device.minor() + 1)
          .empty());
  CHECK(find_mounted_fault("/no/such/mount", 7, 0).empty());
}
