#include "flexdriver/system_text.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "agent/api/text.h"
#include "flexdriver/file_descriptor.h"

namespace plexvol::driver {

std::string error_text(int error_number) {
  const char* text = ::strerrordesc_np(error_number);
  return text != nullptr ? text : "error " + std::to_string(error_number);
}

std::string one_line(const std::string& text, std::size_t most) {
  std::size_t end = std::min(text.size(), most);
  const auto continues = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U;
  };
  if (end < text.size()) {
    while (end > 0 && continues(end)) --end;
  }
  std::string line = printable(std::string_view(text).substr(0, end));
  while (line.ends_with(' ')) line.pop_back();
  if (end < text.size()) line += "...";
  return line;
}

std::optional<std::string> read_all(int fd, std::size_t most) {
  std::string content;
  std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(got));
    if (content.size() > most) {
      errno = EFBIG;
      return std::nullopt;
    }
  }
}

std::optional<std::string> read_file(const std::string& path, std::size_t most) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return std::nullopt;
  return read_all(file.get(), most);
}

}  // namespace plexvol::driver
