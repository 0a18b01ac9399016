// How much of a node's pools is promised to volumes, by their records. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/model/model.h"

namespace plexvol::placement {

// Of one pool of one node.
struct Promise {
  std::uint64_t bytes = 0;  // of all copies that are to be in it
  // Of those, what the node has not made yet: still part of its free bytes.
  std::uint64_t unmade_bytes = 0;
};
using Promises = std::map<std::string, Promise>;  // by pool

// Of a copy: its data, and DRBD's metadata beside it where there is a mirror.
std::uint64_t needed_bytes(std::uint64_t size_bytes, bool mirrored);

// By node.
std::map<std::string, Promises> list_promises(const std::vector<model::Volume>& volumes);
// `volumes`: at least those that concern the node. A former copy counts until it is removed.
Promises promises_of(const std::string& node, const std::vector<model::Volume>& volumes);

// "250%"; "0%" of nothing.
std::string percent_text(std::uint64_t bytes, std::uint64_t total_bytes);

}  // namespace plexvol::placement
