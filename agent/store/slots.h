// The number that gives a mirrored volume its DRBD minor and its port.
#pragma once

#include <set>

#include "agent/store/typed_store.h"

namespace plexvol::store {

// From `next` on, so that one is not used again soon after it was set free, when something old may
// still use it; among the first kUsualSlots while one of these is free. Throws OutOfSpace.
unsigned choose_slot(const std::set<unsigned>& taken, unsigned next);

// Gives `volume` minor and port, which nobody on the nodes of its copies uses, and adds to `change`
// that they are its own.
void give_slot(TypedStore& store, unsigned first_port, model::Volume& volume, Change& change);

}  // namespace plexvol::store
