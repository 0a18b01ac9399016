// Version numbers of the kernel, its modules and tools.
#pragma once

#include <array>
#include <string_view>

namespace plexvol::base {

// Major, minor and patch; compares as versions do.
using Version = std::array<unsigned, 3>;

// Of text that begins so: "8.4.11-1", "5.10.0-28-amd64", "2.03.16(2) (2022-05-18)", "9.2.0-rc.4".
// A patch that is missing is 0. What does not begin with two numbers and a dot between them, or has
// larger ones than fit, is 0.0.0, so older than everything.
Version parse_version(std::string_view text);

}  // namespace plexvol::base
