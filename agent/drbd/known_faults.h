// Versions of DRBD's module that lose data or acknowledge what they should not, with a source for
// each. Pure.
#pragma once

#include <string>

namespace plexvol::drbd {

// Why two copies are not safe with this version; "" when nothing is known against it.
std::string find_known_fault(const std::string& module_version);

}  // namespace plexvol::drbd
