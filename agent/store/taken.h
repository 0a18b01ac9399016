// taken/<node>: the DRBD minors and ports that others than Plexvol use on a node. Written by its
// agent; absent where there are none.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "agent/store/typed_store.h"

namespace plexvol::store {

namespace keys {
std::string taken(const std::string& node);
}  // namespace keys

struct Taken {
  std::set<unsigned> minors;
  std::set<std::uint16_t> ports;

  bool operator==(const Taken&) const = default;
};

// Of an agent that says nothing, or nothing readable: none.
Taken find_taken(TypedStore& store, const std::string& node);
// Writes only what has changed.
void put_taken(TypedStore& store, const std::string& node, const Taken& taken);
// The slots (model.h) that a new volume cannot have on these nodes.
std::set<unsigned> list_taken_slots(TypedStore& store, const std::vector<std::string>& nodes,
                                    unsigned first_port);

}  // namespace plexvol::store
