// Which volumes a dead node keeps from going on elsewhere. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/api/protocol.h"

namespace plexvol::controller {

struct DeadNode {
  std::set<std::string> held;   // volumes that are attached to it, or count on its copy
  std::set<std::string> moved;  // volumes that were taken from it
};

// Two or more nodes, and at least half of them, have lost their leases: nobody can tell that from
// trouble of the store.
bool is_store_in_trouble(const std::vector<api::NodeInfo>& nodes);

// By node. Its agent has lost its lease, and for each of these volumes another current copy is up and
// has lost its connection to the node. So a node whose agent is only away is none. Kubernetes' own
// word for the node does not count: it comes later, and a node that only the API server cannot reach
// serves its pods well.
//
// None while is_store_in_trouble().
std::map<std::string, DeadNode> find_dead_nodes(
    const std::map<std::string, api::VolumeInfo>& volumes, const std::vector<api::NodeInfo>& nodes);

}  // namespace plexvol::controller
