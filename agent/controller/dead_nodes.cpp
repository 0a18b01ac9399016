#include "agent/controller/dead_nodes.h"

#include <algorithm>

namespace plexvol::controller {

namespace {

bool is_survivor(const api::ReplicaInfo& replica, const std::string& dead) {
  return replica.node != dead && replica.alive && replica.current && !replica.connection.empty() &&
         replica.connection != "Connected";
}

}  // namespace

bool is_store_in_trouble(const std::vector<api::NodeInfo>& nodes,
                         const std::set<std::string>& long_dead) {
  std::size_t all = 0;
  std::size_t dead = 0;
  for (const api::NodeInfo& node : nodes) {
    if (!node.alive && long_dead.contains(node.name)) continue;
    ++all;
    if (!node.alive) ++dead;
  }
  return dead >= 2 && dead * 2 >= all;
}

bool LongDead::is_trouble_with(const std::vector<api::NodeInfo>& nodes,
                               base::Clock::time_point now) {
  std::set<std::string> dead;
  for (const api::NodeInfo& node : nodes) {
    if (!node.alive) dead.insert(node.name);
  }
  const auto is_back = [&](const std::string& name) { return !dead.contains(name); };
  std::erase_if(names_, is_back);
  std::erase_if(since_, [&](const auto& known) { return is_back(known.first); });
  // First: between two deaths there may have been nothing to look at.
  for (const auto& [node, since] : since_) {
    if (now - since >= kLong) names_.insert(node);
  }
  if (is_store_in_trouble(nodes, names_)) {
    since_.clear();
    return true;
  }
  for (const std::string& node : dead) since_.try_emplace(node, now);
  return false;
}

std::map<std::string, DeadNode> find_dead_nodes(
    const std::map<std::string, api::VolumeInfo>& volumes, const std::vector<api::NodeInfo>& nodes,
    const std::set<std::string>& long_dead) {
  std::map<std::string, DeadNode> dead;
  if (is_store_in_trouble(nodes, long_dead)) return dead;
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
