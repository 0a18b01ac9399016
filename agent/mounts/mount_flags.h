// The words of mount(8) as the flags of mount(2).
#pragma once

#include <string>
#include <vector>

namespace plexvol::mounts {

struct MountFlags {
  unsigned long all = 0;
  // Those that belong to the mount point and not to the file system. Changing a mount point's flags
  // sets all of them, so they have to be named again.
  unsigned long of_mount_point = 0;
  bool read_only = false;
};

// Throws Unsupported for a word that is not known.
MountFlags parse_mount_flags(const std::vector<std::string>& words);

}  // namespace plexvol::mounts
