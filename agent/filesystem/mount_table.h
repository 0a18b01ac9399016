// What is mounted where, from the kernel: /proc/<pid>/mountinfo of every mount namespace.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace plexvol::filesystem {

struct MountEntry {
  unsigned mount_id = 0;
  unsigned parent_id = 0;
  unsigned peer_group = 0;  // of mount propagation: shares with it ("shared:N"), 0 when it does not
  unsigned master = 0;      // receives from it ("master:N")
  unsigned major = 0;
  unsigned minor = 0;
  std::string root;         // of the mount within the file system
  std::string mount_point;  // octal escapes undone
  std::string options;
  std::string fs_type;
  std::string source;
};

struct User {
  pid_t pid = 0;        // 0: the kernel (an export, a swap file, a mount that no process can see)
  std::string command;  // comm
  std::string what;     // "has /path open", "has it mounted on /path in its own mount namespace"
};

struct DeviceUse {
  // Mount points in the host's mount namespace (process 1's), in the kernel's order.
  std::vector<std::string> mounts;
  // Processes that use it, in any mount namespace; never our own.
  std::vector<User> users;
};

// Pure. Throws Error(Internal) for a line that is none.
std::vector<MountEntry> parse_mountinfo(const std::string& text);

// This process is in process 1's mount namespace itself.
bool in_host_namespace();
// Mount points in the mount namespace of process 1 only: cheap. Of the device, and of a tmpfs whose
// source is `placeholder`, which stands in for the device (agent/mounts/guard.h); "": of none.
std::vector<std::string> list_mounts(unsigned major, unsigned minor,
                                     const std::string& placeholder = "");
// Mounts, and whoever uses the device: open files, working directory, root, mapped files, or a
// mount of it in another mount namespace than process 1's and ours. A copy of a host's mount in a
// service's own namespace (PrivateTmp= and the like) that goes together with the host's is not a
// use. Never touches the file system itself (it may be frozen), only /proc and /sys.
DeviceUse find_use(unsigned major, unsigned minor);
// SIGKILL for every process that uses the device, in any mount namespace. Returns when each of them
// is gone, or hangs in the kernel with the signal pending: it will never run its own code again, so
// it cannot hear how its write has ended. Throws Conflict when the kernel itself uses the device
// (an export, a swap file), Unavailable when somebody new appears again and again.
void kill_users(unsigned major, unsigned minor);
// umount2(2) without force or detach, in process 1's mount namespace. false: busy. true also when
// nothing was mounted there (any more). Throws Internal for anything else. Done in a child with a
// time limit, since umount of a frozen file system hangs: then Unavailable.
bool unmount_in_host(const std::string& mount_point);

}  // namespace plexvol::filesystem
