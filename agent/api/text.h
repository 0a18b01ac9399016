// How text that comes from outside (process names, labels, tool output, the store) may stand in a
// message, in the log and on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plexvol {

// The length of the UTF-8 character at the front of `text` if a terminal only prints it; 0 when it
// is a control character (C0, C1, DEL), one that changes the direction or the look of what follows,
// or no UTF-8.
std::size_t printable_length(std::string_view text);

// `text` as one line that cannot steer a terminal. A line break or tab becomes `blank`, any other
// byte that printable_length() refuses becomes '?'.
std::string printable(std::string_view text, char blank = ' ');
// The same, but line breaks stay.
std::string printable_lines(std::string_view text);

// One printable line, without blanks at its end; what is longer than `most` bytes is cut, never
// within a UTF-8 character.
std::string one_line(std::string_view text, std::size_t most = 2000);

// "like this", printable and on one line; what is longer than 80 bytes is cut, never within a UTF-8
// character.
std::string in_quotes(std::string_view text);

// Seconds since 1970 as "2026-01-31T10:00:00Z".
std::string time_to_text(std::int64_t seconds);

}  // namespace plexvol
