// Which volumes a dead node keeps from going on elsewhere. Knows no time but what it is given.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/base/deadline.h"

namespace plexvol::controller {

struct DeadNode {
  std::set<std::string> held;   // volumes that are attached to it, or count on its copy
  std::set<std::string> moved;  // volumes that were taken from it
};

// Two or more nodes, and at least half of them, have lost their leases: nobody can tell that from
// trouble of the store. `long_dead`: nodes that lost theirs long before; they do not count.
bool is_store_in_trouble(const std::vector<api::NodeInfo>& nodes,
                         const std::set<std::string>& long_dead = {});

// Nodes that lost their leases one by one, and long ago. Without this, a cluster of four of which one
// node never came back would move no pods when the next one dies.
class LongDead {
 public:
  static constexpr std::chrono::minutes kLong{5};

  // is_store_in_trouble() without those. While it is, no time counts: what was lost together stays so.
  bool is_trouble_with(const std::vector<api::NodeInfo>& nodes, base::Clock::time_point now);
  const std::set<std::string>& names() const { return names_; }

 private:
  std::map<std::string, base::Clock::time_point> since_;  // first seen dead
  std::set<std::string> names_;
};

// By node. Its agent has lost its lease, and for each of these volumes another current copy is up and
// has lost its connection to the node. So a node whose agent is only away is none. Kubernetes' own
// word for the node does not count: it comes later, and a node that only the API server cannot reach
// serves its pods well.
//
// None while is_store_in_trouble().
std::map<std::string, DeadNode> find_dead_nodes(
    const std::map<std::string, api::VolumeInfo>& volumes, const std::vector<api::NodeInfo>& nodes,
    const std::set<std::string>& long_dead = {});

}  // namespace plexvol::controller
