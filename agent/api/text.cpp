#include "agent/api/text.h"

#include <algorithm>
#include <array>
#include <ctime>

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

std::string time_to_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&time, &parts) == nullptr) return std::to_string(seconds);
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

}  // namespace plexvol
