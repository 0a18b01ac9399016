// What a look at a node has shown, for a person's eyes.
#pragma once

#include <string>
#include <vector>

#include "agent/api/protocol.h"

namespace plexvol::api {

// A line for each finding; below those that are not in order, what is expected and what to do.
std::string to_report(const std::vector<Finding>& findings);

}  // namespace plexvol::api
