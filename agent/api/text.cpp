#include "agent/api/text.h"

#include <algorithm>

namespace plexvol {

namespace {

constexpr std::size_t kMaxQuoted = 80;

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::size_t end = std::min(text.size(), kMaxQuoted);
  if (end < text.size()) {
    while (end > 0 && continues_character(text[end])) --end;
  }
  std::string shown(text.substr(0, end));
  std::replace_if(shown.begin(), shown.end(), is_control, '?');
  return '"' + shown + (end < text.size() ? "...\"" : "\"");
}

}  // namespace plexvol
