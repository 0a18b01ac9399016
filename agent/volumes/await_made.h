// Waits until what the store says of a new volume is so.
#pragma once

#include <string>

#include "agent/api/protocol.h"
#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"

namespace plexvol::volumes {

// A moment after its start the agent's own node is not in the store yet: nothing can be placed.
void await_announced(store::TypedStore& store, const std::string& here, const Call& call);

// Throws what keeps a node from making its copy, and Conflict when the volume is deleted meanwhile.
void await_made(store::TypedStore& store, const model::Volume& volume, const Call& call);

// Copies that were made a moment ago and have not found each other yet are no fault, and should not
// look like one. What keeps them apart for longer is told by the volume itself.
api::VolumeInfo await_first_connection(store::TypedStore& store, const model::Volume& volume,
                                       const Call& call);

}  // namespace plexvol::volumes
