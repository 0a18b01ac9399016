// Where a device is mounted, who uses it, and how to end that.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"

namespace plexvol::filesystem {

struct User {
  pid_t pid = 0;        // 0: the kernel (an export, a swap file, a mount that no process can see)
  std::string command;  // comm
  std::string what;     // "has /path open", "has it mounted on /path in its own mount namespace"
  std::uint64_t start_time = 0;  // of the process, as in process::Stat
};

struct DeviceUse {
  // Mount points in the host's mount namespace (process 1's), in the kernel's order.
  std::vector<std::string> mounts;
  // Processes that use it, in any mount namespace; never our own.
  std::vector<User> users;
};

// A device, and the source of a tmpfs that stands in for it (agent/mounts/guard.h), "" for none.
struct MountedThing {
  mounts::DeviceNumber device;
  std::string placeholder;
};
// The mount points of each of them in the mount namespace of process 1 only, by one reading: cheap.
// The last 1024, when there are more: those are the ones to be unmounted first.
std::vector<std::vector<std::string>> list_mounts(const std::vector<MountedThing>& things);
std::vector<std::string> list_mounts(unsigned major, unsigned minor,
                                     const std::string& placeholder = "");
// Any process sees a mount of the device, or the kernel has its file system mounted without one:
// then it was checked by whoever mounted it, and must be neither checked nor formatted.
bool is_mounted_anywhere(unsigned major, unsigned minor);
// Mounts, and whoever uses the device: open files, working directory, root, mapped files, or a
// mount of it in another mount namespace than process 1's and ours. A copy of a host's mount in a
// service's own namespace (PrivateTmp= and the like) that goes together with the host's is not a
// use. Users of what stands on it are users of it: of overlays whose layers lie on it, of loop
// devices over files of it, of device-mapper targets over its device, and of whatever stands on
// those. Where such a thing is there without a process that could be ended, the kernel is a user.
// So it is when it has the device mounted although no namespace shows it, unless killed processes
// explain that (see lost_overlays.h).
// Never touches the file system itself (it may be frozen), nor any file of others (it may never
// answer): only /proc and /sys. Throws when it cannot tell (Unavailable: no descriptors or no
// memory left; else Internal).
DeviceUse find_use(unsigned major, unsigned minor);
// SIGKILL for every process that uses the device, in any mount namespace. Returns when each of them
// is gone, or hangs in the kernel with the signal pending: it will never run its own code again, so
// it cannot hear how its write has ended. Throws Conflict when the kernel itself still uses the
// device after that (an export, a swap file, a loop device or an overlay that is left), Unavailable
// when somebody new appears again and again, and whatever find_use() throws: then nothing may be
// thawed.
void kill_users(unsigned major, unsigned minor);
// umount2(2) without force or detach, in process 1's mount namespace. false: busy. true also when
// nothing was mounted there (any more). Throws Internal for anything else. Done in a child with a
// time limit, since umount of a frozen file system hangs: then Unavailable.
bool unmount_in_host(const std::string& mount_point);

}  // namespace plexvol::filesystem
