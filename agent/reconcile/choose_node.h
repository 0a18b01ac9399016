// Which node makes a copy of a volume that has one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

// Where a copy goes, and the revision of the placements there that this rests on.
struct Chosen {
  std::string node;  // "": nowhere
  std::int64_t placement = 0;
};

// Where the backing devices are gone, the same node comes first, with what was put in their place.
std::optional<Chosen> choose_same_node(const model::Volume& volume, const std::string& node,
                                       store::TypedStore& store);

// For a second copy beside the one on `here`; on the node `to` when that is not "".
// When no node can and it must be, throws OutOfSpace, naming each node's reason; else it is nowhere.
// Unavailable: the store does not answer.
Chosen choose_node(const model::Volume& volume, const std::string& here, const std::string& to,
                   bool must, store::TypedStore& store);

}  // namespace plexvol::reconcile
