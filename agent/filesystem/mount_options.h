// What users may ask of mounts.
#pragma once

#include <string>
#include <vector>

namespace plexvol::filesystem {

// mountOptions of the user ("noatime,discard"): words that are flags of mount(2), and the rest for
// the file system.
struct MountOptions {
  std::vector<std::string> flags;
  std::string data;
  bool read_only = false;
};
// Throws InvalidArgument for what would reach out of the file system (paths, "bind", "remount",
// ...).
MountOptions parse_mount_options(const std::string& text);

}  // namespace plexvol::filesystem
