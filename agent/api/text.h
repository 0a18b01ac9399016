// How a stranger's text may stand in a message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace plexvol {

// "like this", on one line whatever is in it: control characters become '?', and what is longer
// than 80 bytes is cut, never within a UTF-8 character.
std::string in_quotes(std::string_view text);

// Seconds since 1970 as "2026-01-31T10:00:00Z".
std::string time_to_text(std::int64_t seconds);

}  // namespace plexvol
