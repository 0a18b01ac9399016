#include "agent/base/text.h"

#include <algorithm>
#include <cstddef>

namespace plexvol::base {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> split_filled(std::string_view text, char separator) {
  std::vector<std::string> parts = split(text, separator);
  std::erase(parts, "");
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  std::string_view before;
  for (const std::string& part : parts) {
    text.append(before).append(part);
    before = separator;
  }
  return text;
}

}  // namespace plexvol::base
