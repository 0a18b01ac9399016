// Where the layers of an overlay lie.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/mounts/mountinfo.h"

namespace plexvol::filesystem {

// Pure. The directories named by lowerdir, upperdir and workdir (and those of newer kernels:
// lowerdir+, datadir+), of MountEntry::super_options. Kernels escape differently: where an escape
// can be read in two ways, both are in the list.
std::vector<std::string> parse_layers(std::string_view super_options);

struct Layers {
  std::vector<std::string> paths;  // absolute
  bool complete = true;            // false: where some of them lie cannot be told
};
// Pure. Relative paths are those of a container runtime that had no room for longer ones: they lie
// where the absolute ones do, or, when there are none, beside the mount point ("/base/ID/merged"
// for an upperdir "ID/diff").
Layers find_layers(const mounts::MountEntry& overlay);

}  // namespace plexvol::filesystem
