// Takes a volume from a node that has died, before anybody wants it elsewhere.
#pragma once

#include <string>

#include "agent/arbiter/arbiter.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/release.h"

namespace plexvol::volumes {

// Ends the attachment to `node`, and takes its copy out of the current set, in one transaction: from
// then on nothing that still runs there can have a write acknowledged. Done before is done.
//
// Throws Conflict, and changes nothing, unless the node's agent has lost its lease and another copy
// in the set is there that can be used and has lost its connection to the node: an agent that is only
// away, or a node that is only cut off from the store, keeps its volume. Throws NotFound for a volume
// that does not exist, Unavailable when the store changed meanwhile: ask again.
void fail_over(store::TypedStore& store, arbiter::Arbiter& arbiter, Releases& releases,
               const std::string& volume, const std::string& node);

}  // namespace plexvol::volumes
