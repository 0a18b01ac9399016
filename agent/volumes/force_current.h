// A person's word against the arbiter's.
#pragma once

#include <string>

#include "agent/api/protocol.h"
#include "agent/arbiter/arbiter.h"
#include "agent/store/typed_store.h"

namespace plexvol::volumes {

// Only where nothing else helps: while a copy of the set can be used, there is nothing to decide.
// Throws Conflict then, InvalidArgument while the loss is not accepted, Unavailable when the set has
// changed meanwhile; nothing was changed in any of these cases.
void force_current(store::TypedStore& store, arbiter::Arbiter& arbiter, const std::string& here,
                   const api::ForceCurrentRequest& request);

}  // namespace plexvol::volumes
