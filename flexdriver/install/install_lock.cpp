#include "flexdriver/install/install_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "agent/api/error.h"
#include "agent/base/deadline.h"
#include "agent/mounts/target.h"

namespace plexvol::driver {

namespace {

constexpr const char* kName = "install.lock";
constexpr auto kPatience = std::chrono::minutes(1);
constexpr auto kPause = std::chrono::milliseconds(20);

}  // namespace

InstallLock::InstallLock(const TrustedDir& root) : root_(root), made_run_(!root.has("run")) {
  const base::Deadline deadline = base::Clock::now() + kPatience;
  while (!try_take()) {
    if (base::Clock::now() >= deadline) {
      throw Error(ErrorCode::Unavailable,
                  root.path() + mounts::kLockParent + "/" + kName +
                      ": another plexvol driver install, roll-back or uninstall is at work; run "
                      "this again when it has ended");
    }
    std::this_thread::sleep_for(kPause);
  }
}

bool InstallLock::try_take() {
  folder_ = root_.walk(mounts::kLockParent, Missing::Make);
  base::Descriptor file(
      ::openat(folder_->fd(), kName, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!file.is_open() && errno == ENOENT) return false;  // the folder went with another's lock
  if (!file.is_open()) fail("open", folder_->path_of(kName));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK || errno == EINTR) return false;
    fail("lock", folder_->path_of(kName));
  }
  // Its last owner has removed it meanwhile: then it stands for nothing any more.
  const auto there = folder_->open_file(kName);
  if (!there) return false;
  struct stat ours {};
  struct stat named {};
  if (::fstat(file.get(), &ours) != 0 || ::fstat(there->get(), &named) != 0) {
    fail("look at", folder_->path_of(kName));
  }
  if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino) return false;
  file_ = std::move(file);
  return true;
}

InstallLock::~InstallLock() {
  if (!file_.is_open()) return;
  ::unlinkat(folder_->fd(), kName, 0);
  if (!made_run_) return;
  ::unlinkat(root_.fd(), &mounts::kLockParent[1], AT_REMOVEDIR);  // as far as nobody else uses them
  ::unlinkat(root_.fd(), "run", AT_REMOVEDIR);
}

}  // namespace plexvol::driver
