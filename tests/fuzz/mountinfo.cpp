// The kernel's mount table, in which users choose mount points, sources and options.
#include "agent/mounts/mountinfo.h"

#include <algorithm>
#include <vector>

#include "agent/filesystem/overlay.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

namespace {

std::vector<std::string> read_lines(const std::string& bytes, std::size_t piece) {
  std::vector<std::string> lines;
  mounts::LineReader reader([&lines](std::string_view line, bool) {
    expect(line.size() <= mounts::LineReader::kLongestLine);
    lines.emplace_back(line);
    return true;
  });
  for (std::size_t at = 0; at < bytes.size(); at += piece) reader.feed(bytes.substr(at, piece));
  reader.finish();
  return lines;
}

// The kernel separates fields by one blank, and escapes those within.
std::string find_field(const std::string& line, int number) {
  std::size_t begin = 0;
  for (; number > 0; --number) {
    const std::size_t blank = line.find(' ', begin);
    if (blank == std::string::npos) return "";
    begin = blank + 1;
  }
  return line.substr(begin, std::min(line.find(' ', begin), line.size()) - begin);
}

}  // namespace

void run(const std::string& bytes) {
  const auto lines = read_lines(bytes, std::max<std::size_t>(bytes.size(), 1));
  expect(lines == read_lines(bytes, 7));
  for (const std::string& line : lines) {
    const auto entry = mounts::parse_line(line);
    if (!entry) continue;
    expect(entry->root == mounts::unescape(find_field(line, 3)));
    expect(entry->mount_point == mounts::unescape(find_field(line, 4)));
    filesystem::find_layers(*entry);
  }
  filesystem::parse_layers(bytes);
}

}  // namespace plexvol::fuzz
