#include "agent/filesystem/unmount.h"

#include <fmt/core.h>
#include <sys/mount.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/process/child.h"
#include "agent/process/namespaces.h"

namespace plexvol::filesystem {

namespace {

constexpr std::chrono::seconds kUnmountLimit{20};
constexpr int kNoNamespace = 127;  // no errno of umount2(2)

bool is_mounted(const std::string& mount_point) {
  const auto is_it = [&](const mounts::MountEntry& entry) {
    return entry.mount_point == mount_point;
  };
  return !mounts::select_mounts("/proc/1/mountinfo", is_it, 1).empty();
}

}  // namespace

bool unmount_in_host(const std::string& mount_point) {
  const char* point = mount_point.c_str();
  // A child may hang without us.
  const bool is_there = process::in_host_mount_namespace();
  const auto result = process::run_in_child(
      [point, is_there] {
        if (!is_there && !process::enter_host_mount_namespace()) return kNoNamespace;
        return umount2(point, UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
      },
      kUnmountLimit);
  if (!result) {
    throw Error(
        ErrorCode::Unavailable,
        fmt::format("unmounting {} timed out: its file system hangs, most likely because its "
                    "device is frozen",
                    mount_point));
  }
  switch (*result) {
    case 0:
      return true;
    case EINVAL:  // no mount point (any more), but not only that
    case ENOENT:
      if (!is_mounted(mount_point)) return true;
      break;
    case EBUSY:
      return false;
    case kNoNamespace:
      throw Error(
          ErrorCode::Internal,
          fmt::format("cannot unmount {}: cannot enter the mount namespace of process 1; run the "
                      "agent privileged and in the host's PID namespace",
                      mount_point));
    default:
      break;
  }
  throw Error(ErrorCode::Internal,
              fmt::format("cannot unmount {}: {}", mount_point, base::error_text(*result)));
}

}  // namespace plexvol::filesystem
