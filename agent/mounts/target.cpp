#include "agent/mounts/target.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/base/fingerprint.h"

namespace plexvol::mounts {

namespace {

constexpr mode_t kTargetMode = 0750;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::InvalidArgument, "target " + in_quotes(path) + ' ' + why);
}

// "/a//b/./c/" is "/a/b/c".
std::string normalise(const std::string& path) {
  std::string clean;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (part == "..") refuse(path, "holds \"..\"");
    if (!part.empty() && part != ".") clean += '/' + part;
    at = end + 1;
  }
  return clean;
}

std::string lock_name(const std::string& target) {
  return std::string(kLockDirectory) + '/' + base::fingerprint(target);
}

base::Descriptor open_lock(const std::string& path) {
  for (const char* directory : {kLockParent, kLockDirectory}) {
    if (::mkdir(directory, 0755) != 0 && errno != EEXIST) {
      throw Error(ErrorCode::Internal,
                  "cannot make " + std::string(directory) + ": " + base::error_text(errno));
    }
  }
  base::Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open())
    throw Error(ErrorCode::Internal, "cannot open " + path + ": " + base::error_text(errno));
  return file;
}

// false: its last owner removed it while we waited, and it stands for nothing any more.
bool is_still_at(const base::Descriptor& file, const std::string& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(file.get(), &ours) == 0 && ::lstat(path.c_str(), &there) == 0 &&
         ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

}  // namespace

std::string resolve_target(const std::string& path) {
  if (!path.starts_with('/')) refuse(path, "is not an absolute path");
  if (path.size() >= PATH_MAX || path.find('\0') != std::string::npos) {
    refuse(path, "has " + std::to_string(path.size()) + " bytes or a zero byte");
  }
  const std::string clean = normalise(path);
  if (clean.empty()) refuse(path, "is the root directory");
  const std::size_t slash = clean.rfind('/');
  const std::string parent = slash == 0 ? "/" : clean.substr(0, slash);
  std::array<char, PATH_MAX> resolved{};
  if (::realpath(parent.c_str(), resolved.data()) == nullptr) return std::string(clean);
  const std::string real = resolved.data();
  return (real == "/" ? "" : real) + clean.substr(slash);
}

void make_target(const std::string& target) {
  for (std::size_t end = target.find('/', 1); end != std::string::npos;
       end = target.find('/', end + 1)) {
    const std::string parent = target.substr(0, end);
    if (::mkdir(parent.c_str(), kTargetMode) != 0 && errno != EEXIST && errno != EROFS) {
      refuse(parent, "cannot be made: " + base::error_text(errno));
    }
  }
  if (::mkdir(target.c_str(), kTargetMode) == 0) return;
  const int error = errno;
  struct stat found {};
  if (::lstat(target.c_str(), &found) != 0)
    refuse(target, "cannot be made: " + base::error_text(error));
  if (S_ISLNK(found.st_mode)) refuse(target, "is a symbolic link, not a directory");
  if (!S_ISDIR(found.st_mode)) refuse(target, "is not a directory");
}

TargetLock::TargetLock(const std::string& target, base::Deadline deadline)
    : path_(lock_name(target)) {
  constexpr std::chrono::milliseconds kPause(20);
  while (true) {
    base::Descriptor file = open_lock(path_);
    while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) {
        throw Error(ErrorCode::Internal, "cannot lock " + path_ + ": " + base::error_text(errno));
      }
      if (base::Clock::now() >= deadline) {
        throw Error(ErrorCode::Unavailable,
                    "another call of plexvol is still working on " + target +
                        "; if it hangs, check the volume's state: plexvol volume list");
      }
      std::this_thread::sleep_for(kPause);
    }
    if (is_still_at(file, path_)) {
      file_ = std::move(file);
      return;
    }
  }
}

TargetLock::~TargetLock() {
  remove();
}

void TargetLock::remove() {
  if (!path_.empty() && file_.is_open()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace plexvol::mounts
