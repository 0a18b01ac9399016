// Gives the peer's copy up and has another node make one, in one transaction.
#pragma once

#include <functional>

#include "agent/arbiter/arbiter.h"
#include "agent/reconcile/plan.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

// From then on the copy here alone counts, until the new one is connected and UpToDate. All that
// the decision rests on is compared once more: this copy is in `current`, the peer is still to be
// replaced, and nobody has attached the volume there. A copy on a node that a person calls lost is
// given up even when no node can take another; so is one that is gone, or was never made, when a
// former copy waits for it that nobody else could follow. Throws OutOfSpace when none can, naming
// each node's reason; Unavailable when the store has changed. `has_turn` is asked when a node has
// been found: by its false nothing is changed, and false is the answer.
bool replace_peer(const Wanted& wanted, store::TypedStore& store, arbiter::Arbiter& arbiter,
                  const std::function<bool()>& has_turn);

}  // namespace plexvol::reconcile
