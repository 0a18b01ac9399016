// Plain aligned columns.
#pragma once

#include <string>
#include <vector>

namespace plexvol::driver {

// The first row is the heading. A cell that is empty is shown as "-"; control characters are shown
// as blanks.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace plexvol::driver
