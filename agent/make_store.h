#pragma once

#include <memory>

#include "agent/config.h"
#include "agent/store/store.h"
#include "agent/store/store_seen.h"

namespace plexvol {

// `seen` is told of what an etcd says of itself; nullptr: nobody is.
std::unique_ptr<store::Store> make_store(const Config& config, store::StoreSeen* seen = nullptr);

}  // namespace plexvol
