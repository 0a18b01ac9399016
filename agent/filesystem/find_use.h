// Who uses a device.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

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

// The mounts of a device and the processes that use it: open files, working directory, root, mapped files, or a
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

}  // namespace plexvol::filesystem
