// Whether a file system that is mounted still works.
#pragma once

#include <string>

namespace plexvol::filesystem {

// Why the file system of this device, mounted at `mount_point` in process 1's mount namespace, is
// of no use until it has been unmounted everywhere and mounted again: after an I/O error xfs shuts
// itself down, and ext4 does that or makes itself read-only. "" when it works, and when nothing of
// this device is seen there. Waits for what is written to the disk (fsync), in a child with a time
// limit: Unavailable when that does not end.
std::string find_mounted_fault(const std::string& mount_point, unsigned major, unsigned minor);

}  // namespace plexvol::filesystem
