// Whether a node is there although its agent is not.
#pragma once

#include <optional>
#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::volumes {

// A node with a running agent which sees that DRBD is connected to `node`'s copy of the volume, or
// saw it when it last said anything. An agent that is only being restarted has no lease, either;
// its node is there as long as another one is connected to it. A node that has died is noticed
// within seconds. nullopt: none.
std::optional<std::string> find_witness(const model::Volume& volume, const std::string& node,
                                        store::TypedStore& store);

}  // namespace plexvol::volumes
