// Volumes as an agent tells of them.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"

namespace plexvol::support {

inline api::ReplicaInfo good_copy(const std::string& node) {
  api::ReplicaInfo copy;
  copy.node = node;
  copy.alive = true;
  copy.current = true;
  copy.disk_state = "UpToDate";
  copy.connection = "Connected";
  return copy;
}

inline api::VolumeInfo good_volume(const std::string& name, const std::vector<std::string>& nodes) {
  api::VolumeInfo volume;
  volume.name = name;
  volume.state = "Ready";
  volume.copies = static_cast<unsigned>(nodes.size());
  for (const std::string& node : nodes) volume.replicas.push_back(good_copy(node));
  if (nodes.size() == 1) volume.replicas[0].connection = volume.replicas[0].disk_state = "";
  return volume;
}

inline void lose_node(api::VolumeInfo& volume, std::size_t which) {
  api::ReplicaInfo& lost = volume.replicas[which];
  lost.alive = false;
  lost.role = lost.disk_state = lost.connection = "";
  lost.error = "its agent is not running";
  for (api::ReplicaInfo& other : volume.replicas) {
    if (other.alive) other.connection = "Connecting";
  }
}

// By the arbiter.
inline void take_out(api::VolumeInfo& volume, std::size_t which, std::int64_t at) {
  volume.replicas[which].current = false;
  volume.replicas[which].left_at = at;
}

inline void begin_resync(api::VolumeInfo& volume, std::size_t which) {
  for (api::ReplicaInfo& copy : volume.replicas) {
    copy.alive = true;
    copy.connection = "Connected";
    copy.error = "";
  }
  volume.replicas[which].disk_state = "Inconsistent";
  volume.state = "Syncing";
}

}  // namespace plexvol::support
