#include "agent/controller/dead_nodes.h"

#include <algorithm>

namespace plexvol::controller {

namespace {

bool is_survivor(const api::ReplicaInfo& replica, const std::string& dead) {
  return replica.node != dead && replica.alive && replica.current && !replica.connection.empty() &&
         replica.connection != "Connected";
}

}  // namespace

bool is_store_in_trouble(const std::vector<api::NodeInfo>& nodes) {
  const auto dead = static_cast<std::size_t>(std::count_if(
      nodes.begin(), nodes.end(), [](const api::NodeInfo& node) { return !node.alive; }));
  return dead >= 2 && dead * 2 >= nodes.size();
}

std::map<std::string, DeadNode> find_dead_nodes(
    const std::map<std::string, api::VolumeInfo>& volumes,
    const std::vector<api::NodeInfo>& nodes) {
  std::map<std::string, DeadNode> dead;
  if (is_store_in_trouble(nodes)) return dead;
  for (const auto& [name, volume] : volumes) {
    if (volume.deleting) continue;
    for (const api::ReplicaInfo& replica : volume.replicas) {
      const auto survives = [&](const api::ReplicaInfo& other) {
        return is_survivor(other, replica.node);
      };
      if (replica.alive || std::none_of(volume.replicas.begin(), volume.replicas.end(), survives)) {
        continue;
      }
      const bool is_held = replica.current || volume.attached_to == replica.node;
      (is_held ? dead[replica.node].held : dead[replica.node].moved).insert(name);
    }
  }
  return dead;
}

}  // namespace plexvol::controller
