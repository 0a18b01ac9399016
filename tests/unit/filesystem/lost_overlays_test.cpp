// A container in a pod's container: its overlay lies on a volume that it does not see itself, and
// keeps it mounted when the pod's container is gone.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/filesystem/find_use.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/proc.h"
#include "tests/support/loop_device.h"
#include "tests/support/namespace_child.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/filesystem/formatted_volume.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::base::Descriptor;
using plexvol::filesystem::DeviceUse;
using plexvol::filesystem::FormattedVolume;
using plexvol::filesystem::is_mounted_anywhere;
using plexvol::filesystem::what_of;
using plexvol::support::can_use_loop_devices;
using plexvol::support::NamespaceChild;
using plexvol::support::TemporaryDirectory;

namespace {

// The inner process has a file of the overlay open; told to, it writes to it. Both are told from
// each other's mount namespaces only.
class Nested : public FormattedVolume {
 public:
  std::string merged = (around.path() / "merged").string();
  std::string options =
      "lowerdir=" + point + "/lower,upperdir=" + point + "/upper,workdir=" + point + "/work";

  Nested() {
    std::filesystem::create_directories(point);
    std::filesystem::create_directories(merged);
    // The inner process is left to this one when the outer one ends.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()) == 0);
    outer = std::make_unique<NamespaceChild>(MS_PRIVATE, [&] { return be_outer(); });
    REQUIRE(read(ends_[0], &inner, sizeof inner) == sizeof inner);
    REQUIRE(inner > 0);
    const std::string seen = "/proc/" + std::to_string(outer->pid()) + "/root" + point;
    below_ = Descriptor(open(seen.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(below_.is_open());
  }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  ~Nested() {
    thaw();
    end_inner();
    outer.reset();
    below_.reset();
    close(ends_[0]);
    close(ends_[1]);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }

  // Until the inner process hangs in a write; then it is killed, as by the end of the process
  // namespace that it shares with the outer one.
  void kill_in_write() {
    REQUIRE(ioctl(below_.get(), FIFREEZE, 0) == 0);
    is_frozen_ = true;
    REQUIRE(write(ends_[0], "w", 1) == 1);
    while (!plexvol::process::hangs_in_kernel(inner)) std::this_thread::yield();
    ::kill(inner, SIGKILL);
  }
  void thaw() {
    if (is_frozen_) ioctl(below_.get(), FITHAW, 0);
    is_frozen_ = false;
  }
  // Of this process, which no search looks at.
  void let_go() { below_.reset(); }
  // What ended it.
  int end_inner() {
    if (inner <= 0) return 0;
    int status = 0;
    ::kill(inner, SIGKILL);
    waitpid(inner, &status, 0);
    inner = 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  bool is_unused() const {
    return use().users.empty() && !is_mounted_anywhere(device.major(), device.minor());
  }

  std::unique_ptr<NamespaceChild> outer;
  pid_t inner = 0;

 private:
  bool be_outer() {
    const bool is_mounted = mount(device.path().c_str(), point.c_str(), "ext4", 0, nullptr) == 0;
    for (const char* folder : {"/lower", "/upper", "/work"}) {
      if (!is_mounted || mkdir((point + folder).c_str(), 0700) != 0) return false;
    }
    const pid_t child = fork();
    if (child != 0) return child > 0;
    be_inner();
    _exit(1);
  }
  void be_inner() {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) != 0 ||
        umount2(point.c_str(), 0) != 0) {
      return;
    }
    const int file = open((merged + "/file").c_str(), O_RDWR | O_CREAT, 0600);
    const pid_t self = getpid();
    close(ends_[0]);
    if (file < 0 || write(ends_[1], &self, sizeof self) != sizeof self) return;
    char order = 0;
    if (read(ends_[1], &order, 1) == 1 && write(file, &order, 1) == 1) fsync(file);
  }

  std::array<int, 2> ends_{};
  Descriptor below_;
  bool is_frozen_ = false;
};

std::string refusal_of(const Nested& volume) {
  try {
    volume.kill();
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    return error.what();
  }
}

std::string named(const Nested& volume) {
  return "has it mounted, although no process's mount namespace shows it: pid " +
         std::to_string(volume.inner) + " (" + plexvol::process::command_of(volume.inner) +
         ") has an overlay on " + volume.merged +
         " whose layers are found nowhere; they may be on it";
}

bool make_overlay(const std::string& base, const std::string& merged) {
  if (mount("tmpfs", base.c_str(), "tmpfs", 0, nullptr) != 0) return false;
  for (const char* folder : {"/lower", "/upper", "/work"}) {
    if (mkdir((base + folder).c_str(), 0700) != 0) return false;
  }
  const std::string options =
      "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work";
  return mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) == 0;
}

}  // namespace

TEST_CASE("who is killed and hangs in an overlay of the volume does not keep it frozen [D3]") {
  if (!can_use_loop_devices()) return;
  Nested volume;
  volume.kill_in_write();
  CHECK(refusal_of(volume) == "");
  const DeviceUse use = volume.use();
  CHECK(use.users.size() == 1);
  CHECK(what_of(use, volume.inner) == "may have a file of it open through the overlay on " +
                                          volume.merged + ", whose layers are found nowhere");
  volume.thaw();
  CHECK(volume.end_inner() == SIGKILL);
  volume.let_go();
  CHECK(volume.is_unused());
}

TEST_CASE("a living process whose overlay may lie on the volume is named, but not killed [D3]") {
  if (!can_use_loop_devices()) return;
  Nested volume;
  volume.outer.reset();
  volume.let_go();
  CHECK(what_of(volume.use(), 0) == named(volume));
  // Here it exists, but nothing of that overlay: another pod with the same paths.
  const NamespaceChild twin(MS_PRIVATE, [&] {
    return mount("tmpfs", volume.point.c_str(), "tmpfs", 0, nullptr) == 0 &&
           mkdir((volume.point + "/lower").c_str(), 0700) == 0 &&
           mkdir((volume.point + "/upper").c_str(), 0700) == 0 &&
           mkdir((volume.point + "/work").c_str(), 0700) == 0;
  });
  CHECK(refusal_of(volume).find(named(volume)) != std::string::npos);
  CHECK(waitpid(volume.inner, nullptr, WNOHANG) == 0);
  volume.end_inner();
  CHECK(volume.is_unused());
}

TEST_CASE("overlays whose layers exist do not keep a volume frozen [D3]") {
  if (!can_use_loop_devices()) return;
  const TemporaryDirectory directory;
  const std::string base = (directory.path() / "base").string();
  const std::string other = (directory.path() / "other").string();
  std::filesystem::create_directory(base);
  std::filesystem::create_directory(other);
  const NamespaceChild engine(MS_PRIVATE, [&] {
    if (!make_overlay(base, other)) return false;
    return fork() != 0 || (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && unshare(CLONE_NEWNS) == 0 &&
                           umount2(base.c_str(), 0) == 0 && pause() == 0);
  });
  Nested volume;
  volume.kill_in_write();
  CHECK(refusal_of(volume) == "");
  CHECK(volume.use().users.size() == 1);
  volume.thaw();
  CHECK(volume.end_inner() == SIGKILL);
  CHECK(waitpid(engine.pid(), nullptr, WNOHANG) == 0);
}

TEST_CASE(
    "a living process with a file of a killed one's overlay keeps it from being thawed [D3]") {
  if (!can_use_loop_devices()) return;
  Nested volume;
  const std::string file =
      "/proc/" + std::to_string(volume.inner) + "/root" + volume.merged + "/file";
  NamespaceChild opener(MS_SLAVE, [&] {
    volume.let_go();  // of what it has inherited
    return open(file.c_str(), O_RDWR) >= 0;
  });
  volume.kill_in_write();
  const std::string refusal = refusal_of(volume);
  CHECK(refusal.find("pid " + std::to_string(opener.pid()) + " (") != std::string::npos);
  CHECK(refusal.find("/file open through an overlay") != std::string::npos);
  CHECK(waitpid(opener.pid(), nullptr, WNOHANG) == 0);
  opener.end();
  CHECK(refusal_of(volume) == "");
  volume.thaw();
  CHECK(volume.end_inner() == SIGKILL);
}
