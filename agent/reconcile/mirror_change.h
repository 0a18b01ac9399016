// DRBD comes over the only copy of a volume, with its data where it is, and goes again.
#pragma once

#include <cstdint>

#include "agent/reconcile/plan.h"
#include "agent/reconcile/tools.h"

namespace plexvol::reconcile {

struct MirrorChange {
  const Wanted& wanted;
  const Seen& seen;
  const Tools& tools;
  std::uint16_t first_port = 0;
};

// Makes the metadata's device, and then records a mirror and the node that makes the second copy, in
// a transaction that requires that nobody has the volume attached. So whoever attaches it from then
// on waits for DRBD. Throws OutOfSpace when no node can have that copy, naming each node's reason, or
// there is no room for the metadata; Conflict when the device is mounted where nobody should have
// it; Unavailable when the store has changed.
void gain_mirror(const MirrorChange& change);

// Records that the copy here is used without DRBD, in such a transaction. Throws Unavailable when the
// store has changed.
void drop_mirror(const MirrorChange& change);

// Takes down the resource that is left, removes its file and its metadata, and gives minor and port
// back. May be called again after a kill at any point.
void remove_mirror(const Wanted& wanted, const Tools& tools);

// Another volume's file of the same name stays: by it a node knows that it has that one's copy.
void remove_config(const model::Volume& volume, const Tools& tools);

}  // namespace plexvol::reconcile
