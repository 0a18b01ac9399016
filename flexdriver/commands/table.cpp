#include "flexdriver/commands/table.h"

#include <algorithm>
#include <string_view>

#include "agent/api/text.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kGap = 3;

// Of what a terminal shows: bytes that continue a UTF-8 character take no room.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

std::string shown(const std::string& cell) {
  return cell.empty() ? "-" : one_line(cell);
}

}  // namespace

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(shown(row[i])));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = shown(row[i]);
      line += cell;
      if (i + 1 < row.size()) line.append(widths[i] - width_of(cell) + kGap, ' ');
    }
    text += line + '\n';
  }
  return text;
}

}  // namespace plexvol::driver
