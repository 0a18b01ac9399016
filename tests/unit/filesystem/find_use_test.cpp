// Users that come through something that stands on the volume, and searches that cannot tell.
#include "agent/filesystem/find_use.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/boost_runner.h"
#include "tests/support/loop_device.h"
#include "tests/support/namespace_child.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::filesystem::DeviceUse;
using plexvol::filesystem::find_use;
using plexvol::filesystem::FormattedVolume;
using plexvol::filesystem::User;
using plexvol::filesystem::what_of;
using plexvol::support::can_use_loop_devices;
using plexvol::support::LoopDevice;
using plexvol::support::Mount;
using plexvol::support::NamespaceChild;
using plexvol::support::TemporaryDirectory;

namespace {

struct MountedVolume : FormattedVolume {
  std::string merged = (around.path() / "merged").string();
  std::unique_ptr<Mount> mounted;

  MountedVolume() {
    mounted = std::make_unique<Mount>(device.path(), point, "ext4");
    for (const std::string& folder :
         {merged, point + "/lower", point + "/upper", point + "/work"}) {
      std::filesystem::create_directories(folder);
    }
  }
  std::string overlay_options() const {
    return "lowerdir=" + point + "/lower,upperdir=" + point + "/upper,workdir=" + point + "/work";
  }
};

bool has_user(const DeviceUse& use, const std::string& what) {
  return std::any_of(use.users.begin(), use.users.end(),
                     [&](const User& user) { return user.what == what; });
}

// For a failure's report.
std::string list(const DeviceUse& use) {
  std::string text;
  for (const User& user : use.users) {
    text += std::to_string(user.pid) + " (" + user.command + ") " + user.what + "; ";
  }
  return text;
}

struct Failure {
  std::optional<ErrorCode> code;
  std::string text;
};

template <class Call>
Failure failure_of(Call call) {
  try {
    call();
    return {};
  } catch (const Error& error) {
    return {.code = error.code(), .text = error.what()};
  }
}

bool was_killed(pid_t pid) {
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace

TEST_CASE("who has a file open through an overlay of the volume uses it, and is killed [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const std::string options = volume.overlay_options();
  REQUIRE(mount("overlay", volume.merged.c_str(), "overlay", 0, options.c_str()) == 0);
  const std::string path = volume.merged + "/file";
  const NamespaceChild opener(
      MS_SLAVE, [file = path.c_str()] { return open(file, O_RDWR | O_CREAT, 0600) >= 0; });
  const NamespaceChild bystander(MS_SLAVE);
  const DeviceUse use = volume.use();
  CHECK(what_of(use, opener.pid()) == "has " + path + " open");
  CHECK(what_of(use, bystander.pid()).empty());
  CHECK(what_of(use, 0) == "has an overlay of it mounted on " + volume.merged);
  // The host's overlay stays: nothing may be thawed.
  const Failure failure = failure_of([&] { volume.kill(); });
  CHECK(was_killed(opener.pid()));
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.text.find(volume.merged) != std::string::npos);
  REQUIRE(umount2(volume.merged.c_str(), 0) == 0);
  CHECK(volume.use().users.empty());
  volume.kill();
  CHECK(waitpid(bystander.pid(), nullptr, WNOHANG) == 0);
}

TEST_CASE("a container whose root is an overlay of the volume uses it, and is killed [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const std::string options = volume.overlay_options();
  const char* merged = volume.merged.c_str();
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  // A container runtime in a pod, and its container, which sees nothing of the volume but the
  // overlay.
  const NamespaceChild runtime(MS_PRIVATE, [&] {
    if (mount("overlay", merged, "overlay", 0, options.c_str()) != 0) return false;
    if (fork() != 0) return true;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool is_contained = unshare(CLONE_NEWNS) == 0 && chdir(merged) == 0 &&
                              syscall(SYS_pivot_root, ".", ".") == 0 &&
                              umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
    const char answer = is_contained ? 'y' : 'n';
    if (write(ends[1], &answer, 1) != 1) _exit(1);
    for (;;) pause();
  });
  char answer = 0;
  REQUIRE(read(ends[0], &answer, 1) == 1);
  close(ends[0]);
  close(ends[1]);
  REQUIRE(answer == 'y');
  const DeviceUse use = volume.use();
  CHECK(has_user(use, "has its working directory in /"));
  CHECK(what_of(use, runtime.pid()).find(" in its own mount namespace") != std::string::npos);
  CHECK_MESSAGE(use.users.size() == 2, list(use));
  volume.kill();
  CHECK(was_killed(runtime.pid()));
  CHECK(volume.use().users.empty());
}

TEST_CASE("an overlay of other directories is no use [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const TemporaryDirectory other;
  const Mount below("tmpfs", other.path(), "tmpfs");
  for (const char* folder : {"lower", "upper", "work", "merged"}) {
    std::filesystem::create_directory(other.path() / folder);
  }
  const std::string& base = below.point();
  const std::string options =
      "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work";
  REQUIRE(mount("overlay", (base + "/merged").c_str(), "overlay", 0, options.c_str()) == 0);
  CHECK(volume.use().users.empty());
  REQUIRE(umount2((base + "/merged").c_str(), 0) == 0);
}

TEST_CASE("a loop device over a file of the volume, and who uses that, use the volume [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  auto inner = std::make_unique<LoopDevice>(volume.point + "/inner", 16U << 20U);
  FormattedVolume::format(inner->path());
  const std::string name = inner->path().substr(inner->path().rfind('/') + 1);
  CHECK(what_of(volume.use(), 0) == "has loop device " + name + " over " + volume.point + "/inner");
  const std::string& loop = inner->path();
  const std::string point = volume.merged;
  // In a container, with an open file in the file system on it.
  const NamespaceChild container(MS_PRIVATE, [&] {
    return mount(loop.c_str(), point.c_str(), "ext4", 0, nullptr) == 0 &&
           umount2(volume.point.c_str(), 0) == 0 &&
           open((point + "/file").c_str(), O_RDWR | O_CREAT, 0600) >= 0;
  });
  inner.reset();  // from now on it goes with its last user
  const DeviceUse use = volume.use();
  CHECK(what_of(use, container.pid()) == "has " + point + "/file open");
  CHECK(use.users.size() == 1);
  volume.kill();
  CHECK(was_killed(container.pid()));
  CHECK(volume.use().users.empty());
}

TEST_CASE("a loop device that is left over the volume keeps it from being thawed [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const LoopDevice inner(volume.point + "/inner", 16U << 20U);
  const Failure failure = failure_of([&] { volume.kill(); });
  CHECK(failure.code == ErrorCode::Conflict);
  CHECK(failure.text.find("loop device loop") != std::string::npos);
}

TEST_CASE("a loop device over the volume's device is a use of it [D3]") {
  if (!can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const LoopDevice device(directory.path() / "image", 1U << 20U);
  plexvol::process::BoostRunner runner;
  std::string above =
      run_checked(runner,
                  {.argv = {"/sbin/losetup", "--find", "--show", device.path()}, .input = {}})
          .out;
  above.pop_back();
  const DeviceUse use = find_use(device.major(), device.minor());
  runner.run({.argv = {"/sbin/losetup", "--detach", above}, .input = {}});
  CHECK(what_of(use, 0).find("over " + device.path()) != std::string::npos);
}

TEST_CASE("a file that is only named like the device's mapping is no use [S9]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  char device[32];
  std::snprintf(device, sizeof device, " %02x:%02x ", volume.device.major(), volume.device.minor());
  const std::string path = (volume.around.path() / device).string();
  const NamespaceChild mapper(MS_SLAVE, [&] {
    const int file = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    return ftruncate(file, 4096) == 0 &&
           mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED && close(file) == 0;
  });
  CHECK(volume.use().users.empty());
}

TEST_CASE("the device is found by its number, under whatever name it is open [S3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const std::string node = (volume.around.path() / "node").string();
  REQUIRE(mknod(node.c_str(), S_IFBLK | 0600,
                makedev(volume.device.major(), volume.device.minor())) == 0);
  const NamespaceChild opener(MS_SLAVE, [&] { return open(node.c_str(), O_RDONLY) >= 0; });
  CHECK(what_of(volume.use(), opener.pid()) == "has the device open");
}

TEST_CASE("a file that is open through a mount that is gone is a use [D3]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const std::string second = (volume.around.path() / "second").string();
  Mount other(volume.device.path(), second, "ext4");
  const NamespaceChild opener(MS_SLAVE, [&] {
    return open((second + "/file").c_str(), O_RDWR | O_CREAT, 0600) >= 0 &&
           umount2(second.c_str(), MNT_DETACH) == 0;
  });
  REQUIRE(umount2(second.c_str(), MNT_DETACH) == 0);
  CHECK(what_of(volume.use(), opener.pid()) ==
        "has a file of it open through a mount that no longer exists");
}

TEST_CASE("without descriptors left a search fails instead of finding nobody [D16]") {
  if (!can_use_loop_devices()) return;
  const MountedVolume volume;
  const NamespaceChild worker(MS_SLAVE, [&] { return chdir(volume.point.c_str()) == 0; });
  rlimit former{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &former) == 0);
  // One descriptor less each time, until there is none at all.
  std::vector<plexvol::base::Descriptor> taken;
  const rlimit small{.rlim_cur = 64, .rlim_max = former.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &small) == 0);
  for (;;) {
    plexvol::base::Descriptor one(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one.is_open()) break;
    taken.push_back(std::move(one));
  }
  int failures = 0;
  int misses = 0;
  for (; taken.size() > 40; taken.pop_back()) {
    DeviceUse use;
    const Failure failure = failure_of([&] { use = volume.use(); });
    if (failure.code == ErrorCode::Unavailable) {
      ++failures;
    } else if (failure.code || what_of(use, worker.pid()).empty()) {
      ++misses;
    }
    if (!failure.code) break;
  }
  taken.clear();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &former) == 0);
  CHECK(failures > 0);
  CHECK(misses == 0);
}

TEST_CASE("a device is known to be mounted by whoever has it mounted [D10]") {
  if (!can_use_loop_devices()) return;
  using plexvol::filesystem::is_mounted_anywhere;
  const TemporaryDirectory directory;
  const LoopDevice device(directory.path() / "image", 64U << 20U);
  FormattedVolume::format(device.path());
  CHECK_FALSE(is_mounted_anywhere(device.major(), device.minor()));
  NamespaceChild kubelet(MS_PRIVATE, [&] {
    return mount(device.path().c_str(), directory.path().c_str(), "ext4", 0, nullptr) == 0;
  });
  CHECK(is_mounted_anywhere(device.major(), device.minor()));
  kubelet.end();
  CHECK_FALSE(is_mounted_anywhere(device.major(), device.minor()));
}
