#include "agent/api/text.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace plexvol {

namespace {

constexpr std::size_t kMaxQuoted = 80;

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};
// Terminals obey the C1 controls (U+009B is CSI) as they obey the C0 ones. The others reverse text,
// or hide in it.
constexpr std::array kRefused{Range{0x00, 0x1f},      Range{0x7f, 0x9f},     Range{0x061c, 0x061c},
                              Range{0x200b, 0x200f},  Range{0x2028, 0x202e}, Range{0x2060, 0x206f},
                              Range{0xd800, 0xdfff},  Range{0xfeff, 0xfeff}, Range{0xfff9, 0xfffb},
                              Range{0xe0000, 0xe007f}};

// By the number of bytes: what the first one begins with, and the smallest character that needs so
// many.
struct Form {
  unsigned mask;
  unsigned lead;
  std::uint32_t least;
};
constexpr std::array kForms{Form{0x80, 0x00, 0}, Form{0xe0, 0xc0, 0x80}, Form{0xf0, 0xe0, 0x800},
                            Form{0xf8, 0xf0, 0x10000}};

bool is_blank(char c) {
  return c == '\n' || c == '\r' || c == '\t';
}

std::string make_printable(std::string_view text, char line_break, char blank) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = printable_length(text);
    if (length > 0) {
      shown += text.substr(0, length);
    } else if (text.front() == '\n') {
      shown += line_break;
    } else {
      shown += is_blank(text.front()) ? blank : '?';
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return shown;
}

}  // namespace

std::size_t printable_length(std::string_view text) {
  constexpr std::uint32_t kLast = 0x10ffff;
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text.front());
  const auto* form = std::find_if(kForms.begin(), kForms.end(), [&](const Form& candidate) {
    return (first & candidate.mask) == candidate.lead;
  });
  const auto length = static_cast<std::size_t>(form - kForms.begin()) + 1;
  if (form == kForms.end() || text.size() < length) return 0;
  std::uint32_t character = first & ~form->mask;
  for (std::size_t at = 1; at < length; ++at) {
    if (!continues_character(text[at])) return 0;
    character = character << 6U | (static_cast<unsigned char>(text[at]) & 0x3fU);
  }
  if (character < form->least || character > kLast) return 0;
  const bool refused = std::any_of(kRefused.begin(), kRefused.end(), [&](const Range& range) {
    return character >= range.first && character <= range.last;
  });
  return refused ? 0 : length;
}

std::string printable(std::string_view text, char blank) {
  return make_printable(text, blank, blank);
}

std::string printable_lines(std::string_view text) {
  return make_printable(text, '\n', ' ');
}

std::string one_line(std::string_view text, std::size_t most) {
  std::size_t end = std::min(text.size(), most);
  if (end < text.size()) {
    while (end > 0 && continues_character(text[end])) --end;
  }
  std::string line = printable(text.substr(0, end));
  while (line.ends_with(' ')) line.pop_back();
  if (end < text.size()) line += "...";
  return line;
}

std::string in_quotes(std::string_view text) {
  std::size_t end = std::min(text.size(), kMaxQuoted);
  if (end < text.size()) {
    while (end > 0 && continues_character(text[end])) --end;
  }
  return '"' + printable(text.substr(0, end), '?') + (end < text.size() ? "...\"" : "\"");
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
