#include "agent/model/model.h"

#include <algorithm>
#include <utility>

namespace plexvol::model {

const Replica* Volume::find_replica(const std::string& node) const {
  const auto found = std::find_if(replicas.begin(), replicas.end(),
                                  [&](const Replica& replica) { return replica.node == node; });
  return found == replicas.end() ? nullptr : &*found;
}

void Volume::add_replica(Replica replica) {
  const auto taken = [&](unsigned number) {
    return std::any_of(replicas.begin(), replicas.end(),
                       [&](const Replica& other) { return other.number == number; });
  };
  replica.number = 0;
  while (taken(replica.number)) ++replica.number;
  replicas.push_back(std::move(replica));
}

std::string Volume::peer_of(const std::string& node) const {
  for (const Replica& replica : replicas) {
    if (replica.node != node) return replica.node;
  }
  return "";
}

std::vector<std::string> Volume::nodes() const {
  std::vector<std::string> names;
  names.reserve(replicas.size());
  for (const Replica& replica : replicas) names.push_back(replica.node);
  return names;
}

bool Volume::concerns(const std::string& node) const {
  return find_replica(node) != nullptr || former.contains(node);
}

std::set<std::string> Volume::concerned_nodes() const {
  std::set<std::string> names = former;
  for (const Replica& replica : replicas) names.insert(replica.node);
  return names;
}

const Pool* Node::find_pool(const std::string& pool) const {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [&](const Pool& p) { return p.name == pool; });
  return found == pools.end() ? nullptr : &*found;
}

}  // namespace plexvol::model
