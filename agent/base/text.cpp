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

std::string base_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

bool contains_word(std::string_view words, std::string_view word) {
  const std::vector<std::string> all = split(words, ' ');
  return std::find(all.begin(), all.end(), word) != all.end();
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
