// On which nodes the copies of a volume go. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/model/model.h"
#include "agent/placement/promises.h"

namespace plexvol::placement {

struct PlacementRequest {
  std::uint64_t size_bytes = 0;
  unsigned replicas = 1;
  bool mirrored = false;           // by DRBD, which not every node has
  std::string drbd;                // of the node of the other copy, "8.4.11"; "": none yet
  std::string pool;                // "": the only one there is, or the one named "default"
  std::vector<std::string> nodes;  // "": any; else exactly these
  std::string asking;              // first choice, "" when there is none
  std::map<std::string, std::string> barred;  // nodes that get none: why
  std::map<std::string, Promises> promised;   // by node; of a node that is not in it, nothing is
  std::string volume = {};                    // its name, for messages about first_node
  std::string first_node = {};                // must have one of the copies; "": none must
};

struct Placement {
  std::string pool;
  std::vector<std::string> nodes;
};

// first_node first, then the asking node, then those with most free space; a node of the same free
// space by name, so that the answer is always the same. Throws NotFound (pool, node), Unavailable
// (a named node is away), OutOfSpace: each with what was found on which node. OutOfSpace also when
// first_node cannot have a copy, whatever the reason.
Placement place(const PlacementRequest& request, const std::vector<model::Node>& nodes,
                const std::set<std::string>& alive);

// The same, with what is promised on the nodes: asked only of those that would be chosen, since all
// volumes of a large cluster are too many to read for each new one. With a first_node, OutOfSpace
// says that the copies have room when another node comes first, and Unavailable that they have none
// with any first node.
Placement place_within_promises(PlacementRequest request, const std::vector<model::Node>& nodes,
                                const std::set<std::string>& alive,
                                const std::function<Promises(const std::string& node)>& ask);

// "" when two replicas can be had with this DRBD module, else why not (design, rule 6: older
// than 8.4.4 takes late answers).
std::string why_no_mirror(const std::string& drbd_version);

// The reasons why nodes get no further replica of a volume: also those that have one, or still have to
// remove one.
std::map<std::string, std::string> bar_for_another(
    const model::Volume& volume, const std::map<std::string, model::Cordon>& cordons);

// The reasons why cordoned nodes get no replica.
std::map<std::string, std::string> bar_cordoned(
    const std::map<std::string, model::Cordon>& cordons);

}  // namespace plexvol::placement
