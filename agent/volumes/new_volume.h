// What a new volume is to be, and whether it can be so. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plexvol::volumes {

struct NewVolume {
  std::string name;
  std::uint64_t size_bytes = 0;
  unsigned replicas = 1;
  std::vector<std::string> nodes;  // empty: placement decides
  std::string pool;                // empty: the only pool there is, or the one named "default"
  std::string fs_type;             // empty: ext4
  std::string mkfs_options;
  std::string asking;           // the node that is to have a copy since it asks; "": none
  std::string tenant;           // "": of the first pod that mounts it
  std::string first_node = {};  // the node that must have a copy; "": none
};

// Throw InvalidArgument. "" becomes ext4.
std::string check_fs_type(const std::string& fs_type);
void check_replicas(unsigned replicas);
// All of it, whatever door it came by; but for the words for mkfs, which mkfs itself is asked about.
void check(const NewVolume& wanted);

}  // namespace plexvol::volumes
