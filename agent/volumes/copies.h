// A volume gets another number of copies, or one of them moves to another node.
//
// The store says what is to be. The nodes that have copies do it, one step after the other, each at
// the moment when it can be done: DRBD comes over the only copy, or goes, while no node has the
// volume attached, and a copy leaves when nobody uses it there and another one counts.
#pragma once

#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"

namespace plexvol::volumes {

struct Copies {
  unsigned number = 0;  // 1 or 2
  // Of one: the node that keeps its copy; "": where it is attached, else one that is in the current
  // set.
  std::string keep;
};

// Records it. Nothing changes when it has as many; one that waits for its second copy, or for the
// end of it, waits no longer when it is told to have what it has. Throws InvalidArgument,
// Conflict (deleted, or the copy to be kept is not current), OutOfSpace and Unavailable when no node
// can take a second copy, NotFound.
void set_copies(store::TypedStore& store, const std::string& name, const Copies& copies);

struct Move {
  std::string from;  // "": of a volume that has one copy
  std::string to;    // "": any node with room
};

// The same, for a move. Nothing changes when the copy has moved, or does already.
void move_copy(store::TypedStore& store, const std::string& name, const Move& move);

// What of it is still to be done, and what that waits for, for people; "": nothing is.
std::string describe_pending(const model::Volume& volume, const std::string& attached_to);

}  // namespace plexvol::volumes
