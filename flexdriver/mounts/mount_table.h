// What is mounted where, from the kernel. Nothing here touches the mounted file systems themselves:
// they may be frozen or broken.
#pragma once

#include <string>
#include <vector>

namespace plexvol::driver {

struct MountEntry {
  unsigned id = 0;
  unsigned parent_id = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::string root;         // of the mount within its file system
  std::string mount_point;  // octal escapes undone
  bool read_only = false;   // of the mount point, not of the file system
  std::string fs_type;
  std::string source;
};

// Pure. Lines that are no mountinfo are left out.
std::vector<MountEntry> parse_mountinfo(const std::string& text);

// Of this process's mount namespace. Throws Internal when /proc cannot be read.
std::vector<MountEntry> list_mounts();

// What is mounted on the path itself, in the order in which it was mounted: the last one is seen.
std::vector<MountEntry> mounts_on(const std::vector<MountEntry>& table, const std::string& path);

// "/dev/drbd1000 (147:1000, ext4)"
std::string describe(const MountEntry& entry);

}  // namespace plexvol::driver
