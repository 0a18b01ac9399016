#include "agent/filesystem/mounted_fault.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/mounts/mountinfo.h"
#include "agent/process/child.h"
#include "agent/process/namespaces.h"

namespace plexvol::filesystem {

namespace {

constexpr std::chrono::seconds kFaultLimit{20};

// System calls only. 0, or the number of what is wrong.
int look(const char* point, unsigned major, unsigned minor, bool is_in_host) {
  if (!is_in_host && !process::enter_host_mount_namespace()) return 0;
  const int root = open(point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (root < 0) return errno == EIO ? EIO : 0;
  struct stat status {};
  if (fstat(root, &status) != 0) return errno;
  // Another mount lies over it.
  if (::major(status.st_dev) != major || ::minor(status.st_dev) != minor) return 0;
  struct statvfs space {};
  if (fstatvfs(root, &space) != 0) return errno;
  if ((space.f_flag & ST_RDONLY) != 0) return EROFS;
  if (fsync(root) != 0 && errno != EINVAL) return errno;
  return 0;
}

// By its mount, not by the file system below it.
bool is_mounted_read_only(const std::string& mount_point, unsigned major, unsigned minor) {
  const auto is_writable = [&](const mounts::MountEntry& entry) {
    return entry.mount_point == mount_point && entry.major == major && entry.minor == minor &&
           !entry.read_only;
  };
  return mounts::select_mounts("/proc/1/mountinfo", is_writable, 1).empty();
}

}  // namespace

std::string find_mounted_fault(const std::string& mount_point, unsigned major, unsigned minor) {
  const bool is_in_host = process::in_host_mount_namespace();
  const char* point = mount_point.c_str();
  const auto result = process::run_in_child([=] { return look(point, major, minor, is_in_host); },
                                            kFaultLimit, "the file system on " + mount_point);
  if (!result) {
    throw Error(
        ErrorCode::Unavailable,
        fmt::format(
            "timed out waiting for the file system on {}: its device is frozen or very busy",
            mount_point));
  }
  if (*result == 0) return "";
  if (*result != EROFS) {
    return fmt::format("has shut itself down after an error ({})", base::error_text(*result));
  }
  if (is_mounted_read_only(mount_point, major, minor)) return "";
  return "was made read-only by the kernel after an error";
}

}  // namespace plexvol::filesystem
