// The options object of a FlexVolume call, as a kubelet or a person gives it.
#pragma once

#include <string>

#include "agent/api/protocol.h"

namespace plexvol::driver {

// JSON text, or for people @FILE, or - for stdin. Throws InvalidArgument unless it is an object
// that holds only strings, naming what it is instead.
api::Options read_options(const std::string& argument);

}  // namespace plexvol::driver
