// The store after an old backup of it was restored, or an empty one was put in its place.
#pragma once

#include "agent/api/repair.h"
#include "agent/store/typed_store.h"

namespace plexvol::cluster {

// What the store says of each volume, what the nodes acted on, and what is made of it.
api::RepairReply repair(store::TypedStore& store, const api::RepairRequest& request);

}  // namespace plexvol::cluster
