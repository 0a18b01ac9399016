// Gives the peer's copy up and has another node make one, in one transaction.
#pragma once

#include "agent/arbiter/arbiter.h"
#include "agent/reconcile/plan.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

// From then on the copy here alone counts, until the new one is connected and UpToDate. All that
// the decision rests on is compared once more: this copy is in `current`, the peer is still to be
// replaced, and nobody has attached the volume there. A copy on a node that a person calls lost is
// given up even when no node can take another. Throws OutOfSpace when none can, naming each node's
// reason; Unavailable when the store has changed.
void replace_peer(const Wanted& wanted, store::TypedStore& store, arbiter::Arbiter& arbiter);

}  // namespace plexvol::reconcile
