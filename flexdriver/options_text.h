// The options object of a FlexVolume call, as a kubelet or a person gives it.
#pragma once

#include <string>

#include "agent/api/protocol.h"

namespace plexvol::driver {

// JSON text, or for people @FILE, or - for stdin. Without the pod's secrets that `mount` carries
// (contract fact 19): the agent needs none, and what is not sent is not logged. Throws
// InvalidArgument unless it is an object that holds only strings, naming what it is instead.
api::Options read_options(const std::string& argument);

}  // namespace plexvol::driver
