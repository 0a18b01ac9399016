#include "agent/filesystem/mount_table.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "agent/filesystem/find_use.h"
#include "agent/filesystem/mount_watch.h"
#include "agent/filesystem/unmount.h"
#include "tests/support/loop_device.h"
#include "tests/support/namespace_child.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::filesystem::DeviceUse;
using plexvol::filesystem::list_mounts;
using plexvol::filesystem::unmount_in_host;
using plexvol::filesystem::what_of;
using plexvol::support::can_use_loop_devices;
using plexvol::support::Mount;
using plexvol::support::NamespaceChild;
using Words = std::vector<std::string>;

namespace {

using Volume = plexvol::filesystem::FormattedVolume;  // not yet mounted

// A process that does something with the volume and stays.
std::unique_ptr<NamespaceChild> user_of(const std::function<bool()>& part) {
  return std::make_unique<NamespaceChild>(MS_SLAVE, part);
}

}  // namespace

TEST_CASE("a device that is not mounted has no mounts and no users") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const DeviceUse use = volume.use();
  CHECK(use.mounts.empty());
  CHECK(use.users.empty());
}

TEST_CASE("mounts of a device are listed, also those in folders with odd names") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount first(volume.device.path(), volume.point, "ext4");
  const Mount second(volume.device.path(), volume.around.path() / "a b\n", "ext4");
  CHECK(list_mounts(volume.device.major(), volume.device.minor()) ==
        Words{first.point(), second.point()});
  const DeviceUse use = volume.use();
  CHECK(use.mounts == Words{first.point(), second.point()});
  CHECK(use.users.empty());
}

TEST_CASE("whoever uses a mounted file system is named, with what he does there") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount mounted(volume.device.path(), volume.point, "ext4");
  const std::string path = volume.point + "/file";
  const char* file = path.c_str();
  const char* folder = volume.point.c_str();

  const auto opener = user_of([=] { return open(file, O_RDWR | O_CREAT, 0600) >= 0; });
  const auto worker = user_of([=] { return chdir(folder) == 0; });
  const auto mapper = user_of([=] {
    const int descriptor = open(file, O_RDWR | O_CREAT, 0600);
    if (ftruncate(descriptor, 4096) != 0) return false;
    void* memory = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, descriptor, 0);
    return memory != MAP_FAILED && close(descriptor) == 0;
  });
  const auto rooted = user_of([=] { return chroot(folder) == 0; });
  const auto bystander = user_of([] { return true; });

  const DeviceUse use = volume.use();
  CHECK(what_of(use, opener->pid()) == "has " + path + " open");
  CHECK(what_of(use, worker->pid()) == "has its working directory in " + volume.point);
  CHECK(what_of(use, mapper->pid()) == "has a file of it mapped");
  CHECK(what_of(use, rooted->pid()) == "has its root directory on it");
  CHECK(what_of(use, bystander->pid()).empty());
  CHECK(use.users.size() == 4);
}

TEST_CASE("a process that has the device itself open is a user") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const char* device = volume.device.path().c_str();
  const NamespaceChild opener(MS_SLAVE, [=] { return open(device, O_RDONLY) >= 0; });
  CHECK(what_of(volume.use(), opener.pid()) == "has the device open");
}

TEST_CASE("a mount in a container's own mount namespace is a use, also after the host's is gone") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  auto mounted = std::make_unique<Mount>(volume.device.path(), volume.point, "ext4");
  const NamespaceChild container(MS_PRIVATE);
  const std::string expected = "has it mounted on " + volume.point + " in its own mount namespace";
  CHECK(what_of(volume.use(), container.pid()) == expected);
  mounted.reset();
  const DeviceUse use = volume.use();
  CHECK(use.mounts.empty());
  CHECK(what_of(use, container.pid()) == expected);
}

TEST_CASE("a copy of a mount that goes together with the host's is not a use") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount mounted(volume.device.path(), volume.point, "ext4");
  const NamespaceChild service(MS_SLAVE);
  const DeviceUse use = volume.use();
  CHECK(use.mounts == Words{mounted.point()});
  CHECK(use.users.empty());
  CHECK(unmount_in_host(mounted.point()));
  const DeviceUse after = volume.use();
  CHECK(after.mounts.empty());
  CHECK(after.users.empty());
}

TEST_CASE("a mount that no process can see is still known to the kernel") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const std::string path = volume.point + "/file";
  auto mounted = std::make_unique<Mount>(volume.device.path(), volume.point, "ext4");
  const int held = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(held >= 0);
  mounted.reset();  // detached, and kept by the open file
  const DeviceUse use = volume.use();
  CHECK(use.mounts.empty());
  REQUIRE(use.users.size() == 1);
  CHECK(use.users.front().pid == 0);
  close(held);
}

TEST_CASE("looking at a frozen file system does not hang") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount mounted(volume.device.path(), volume.point, "ext4");
  const std::string path = volume.point + "/file";
  const char* file = path.c_str();
  const NamespaceChild opener(MS_SLAVE, [=] { return open(file, O_RDWR | O_CREAT, 0600) >= 0; });
  const int folder = open(volume.point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(ioctl(folder, FIFREEZE, 0) == 0);
  const DeviceUse use = volume.use();
  ioctl(folder, FITHAW, 0);
  close(folder);
  CHECK(use.mounts == Words{mounted.point()});
  CHECK(what_of(use, opener.pid()) == "has " + path + " open");
}

TEST_CASE("an unmount works, is refused while busy, and is done where nothing is mounted") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount mounted(volume.device.path(), volume.point, "ext4");
  const int held = open(volume.point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK_FALSE(unmount_in_host(mounted.point()));
  CHECK(list_mounts(volume.device.major(), volume.device.minor()) == Words{mounted.point()});
  close(held);
  CHECK(unmount_in_host(mounted.point()));
  CHECK(list_mounts(volume.device.major(), volume.device.minor()).empty());
  CHECK(unmount_in_host(mounted.point()));
  CHECK(unmount_in_host(volume.point + "/no/such/folder"));
}

TEST_CASE("an unmount in the host's mount namespace works from within another one") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  const Mount mounted(volume.device.path(), volume.point, "ext4");
  const std::string& point = mounted.point();
  const NamespaceChild agent(MS_PRIVATE, [&] { return unmount_in_host(point); });
  const DeviceUse use = volume.use();
  CHECK(use.mounts.empty());
  CHECK(what_of(use, agent.pid()).starts_with("has it mounted on " + point));
}

TEST_CASE("a mount and an unmount are each told to the watch") {
  if (!can_use_loop_devices()) return;
  const Volume volume;
  std::mutex mutex;
  std::condition_variable changed;
  int changes = 0;
  const plexvol::filesystem::MountWatch watch([&] {
    const std::lock_guard lock(mutex);
    ++changes;
    changed.notify_all();
  });
  const auto seen_after = [&](int former) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(30), [&] { return changes > former; });
  };
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return changes;
  };
  int former = count();
  auto mounted = std::make_unique<Mount>(volume.device.path(), volume.point, "ext4");
  CHECK(seen_after(former));
  former = count();
  mounted.reset();
  CHECK(seen_after(former));
}
