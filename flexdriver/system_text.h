// What the system says, as text, and small files of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace plexvol::driver {

// "No such file or directory"
std::string error_text(int error_number);

// One printable line for people out of a stranger's text, without blanks at its end; what is longer
// than `most` bytes is cut, never within a UTF-8 character.
std::string one_line(const std::string& text, std::size_t most = 2000);

// The content of a file, or of a descriptor until its end; nullopt, with errno set, when it cannot
// be read or has more than `most` bytes (EFBIG).
std::optional<std::string> read_file(const std::string& path, std::size_t most);
std::optional<std::string> read_all(int fd, std::size_t most);

}  // namespace plexvol::driver
