// A volume becomes larger, while it is used as well.
//
// The store says what it is to be. The node with the copy extends its backing device, and then the
// file system where it is mounted, else when it is mounted next. Of two copies both are extended while
// the volume is in use and they are connected and in sync; then DRBD takes the new size.
#pragma once

#include <cstdint>
#include <string>

#include "agent/api/protocol.h"
#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/await.h"
#include "agent/volumes/turns.h"

namespace plexvol::volumes {

struct NewSize {
  std::uint64_t bytes = 0;
  bool at_least = false;  // one that is larger stays as it is: no error
};

// Records the size. Nothing changes when it has it. Throws InvalidArgument for a smaller one,
// OutOfSpace and Unavailable when a node has no room or is away, or one of two copies is lost,
// NotFound.
model::Volume resize(store::TypedStore& store, Turns& turns, const std::string& name,
                     const NewSize& size);

// The same, and waits until the nodes have done it. Throws what keeps it from that.
api::VolumeInfo resize_and_await(store::TypedStore& store, Turns& turns, const std::string& name,
                                 const NewSize& size, const Call& call);

}  // namespace plexvol::volumes
