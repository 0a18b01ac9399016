#pragma once

#include <memory>

#include "agent/config.h"
#include "agent/store/store.h"

namespace plexvol {

std::unique_ptr<store::Store> make_store(const Config& config);

}  // namespace plexvol
