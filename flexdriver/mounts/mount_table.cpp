#include "flexdriver/mounts/mount_table.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iterator>
#include <optional>
#include <string_view>

#include "agent/api/error.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

// The fields of a line of mountinfo, see proc(5); optional fields stand between kOptionsField and
// the separator "-".
constexpr std::size_t kIdField = 0;
constexpr std::size_t kParentField = 1;
constexpr std::size_t kDeviceField = 2;
constexpr std::size_t kRootField = 3;
constexpr std::size_t kMountPointField = 4;
constexpr std::size_t kOptionsField = 5;
constexpr std::size_t kLargestTable = 256UL * 1024 * 1024;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool parse_number(std::string_view text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// "\040" is a blank, and so on.
std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) &&
        is_octal(text[at + 2]) && is_octal(text[at + 3])) {
      const int value = (text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0');
      result += static_cast<char>(value);
      at += 3;
    } else {
      result += text[at];
    }
  }
  return result;
}

std::optional<MountEntry> parse_line(std::string_view line) {
  const auto fields = split(line, ' ');
  if (fields.size() <= kOptionsField) return std::nullopt;
  const auto dash = std::find(fields.begin() + kOptionsField + 1, fields.end(), "-");
  if (std::distance(dash, fields.end()) < 3) return std::nullopt;
  MountEntry entry;
  const std::string_view device = fields[kDeviceField];
  const std::size_t colon = device.find(':');
  if (colon == std::string_view::npos || !parse_number(device.substr(0, colon), entry.major) ||
      !parse_number(device.substr(colon + 1), entry.minor) ||
      !parse_number(fields[kIdField], entry.id) ||
      !parse_number(fields[kParentField], entry.parent_id)) {
    return std::nullopt;
  }
  entry.root = unescape(fields[kRootField]);
  entry.mount_point = unescape(fields[kMountPointField]);
  const auto options = split(fields[kOptionsField], ',');
  entry.read_only = std::find(options.begin(), options.end(), "ro") != options.end();
  entry.fs_type = unescape(*(dash + 1));
  entry.source = unescape(*(dash + 2));
  return entry;
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(const std::string& text) {
  std::vector<MountEntry> table;
  for (const std::string_view line : split(text, '\n')) {
    if (auto entry = parse_line(line)) table.push_back(*std::move(entry));
  }
  return table;
}

// The kernel makes up the text piece by piece: while others mount and unmount, a line may be
// missing in between.
std::vector<MountEntry> list_mounts() {
  constexpr int kAttempts = 4;
  std::optional<std::string> before;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto text = read_file("/proc/self/mountinfo", kLargestTable);
    if (!text) {
      throw Error(ErrorCode::Internal, "cannot read /proc/self/mountinfo: " + error_text(errno));
    }
    if (text == before) break;
    before = std::move(text);
  }
  return parse_mountinfo(*before);
}

std::vector<MountEntry> mounts_on(const std::vector<MountEntry>& table, const std::string& path) {
  std::vector<MountEntry> found;
  std::copy_if(table.begin(), table.end(), std::back_inserter(found),
               [&path](const MountEntry& entry) { return entry.mount_point == path; });
  return found;
}

std::string describe(const MountEntry& entry) {
  std::string text = entry.source + " (" + std::to_string(entry.major) + ':' +
                     std::to_string(entry.minor) + ", " + entry.fs_type;
  if (entry.root != "/") text += ", its directory " + entry.root;
  return text + ')';
}

}  // namespace plexvol::driver
