// The volume that a call is about.
#pragma once

#include <string>

#include "agent/model/model.h"
#include "agent/store/typed_store.h"
#include "agent/volumes/wanted.h"

namespace plexvol::volumes {

// Throws NotFound.
model::Volume get_volume(store::TypedStore& store, const std::string& name);
// The same; throws InvalidArgument when another volume is meant.
model::Volume find_existing(store::TypedStore& store, const Wanted& wanted);

}  // namespace plexvol::volumes
