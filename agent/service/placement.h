// On which nodes a new volume goes. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/model/model.h"

namespace plexvol::service {

struct PlacementRequest {
  std::uint64_t size_bytes = 0;
  unsigned replicas = 1;
  std::string pool;                // "": the only one there is, or the one named "default"
  std::vector<std::string> nodes;  // "": any; else exactly these
  std::string asking;              // first choice, "" when there is none
};

struct Placement {
  std::string pool;
  std::vector<std::string> nodes;
};

// The asking node first, then those with most free space; a node of the same free space by name, so
// that the answer is always the same. Throws NotFound (pool, node), Unavailable (a named node is
// away), Unsupported (no DRBD), OutOfSpace: each with what was found on which node.
Placement place(const PlacementRequest& request, const std::vector<model::Node>& nodes,
                const std::set<std::string>& alive);

// "" when two replicas can be had with this DRBD module, else why not (design, rule 6: older
// than 8.4.4 takes late answers).
std::string why_no_mirror(const std::string& drbd_version);

}  // namespace plexvol::service
