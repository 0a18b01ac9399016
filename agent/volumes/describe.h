// Volumes as people see them: put together from the store, never asked of a node.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/store/typed_store.h"

namespace plexvol::volumes {

std::vector<api::VolumeInfo> list_volumes(store::TypedStore& store);
// Throws NotFound.
api::VolumeInfo show_volume(store::TypedStore& store, const std::string& name);

}  // namespace plexvol::volumes
