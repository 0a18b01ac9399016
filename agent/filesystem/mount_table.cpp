#include "agent/filesystem/mount_table.h"

#include <charconv>
#include <cstddef>
#include <sstream>
#include <string_view>

#include "agent/api/error.h"
#include "agent/process/proc.h"

namespace plexvol::filesystem {

namespace {

[[noreturn]] void throw_no_entry(const std::string& line) {
  throw Error(ErrorCode::Internal, "cannot understand this line of mountinfo: " + line);
}

bool is_octal(char character) {
  return character >= '0' && character <= '7';
}

// "\040" is a blank.
std::string unescape(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                        is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escape) {
      result += text[i];
      continue;
    }
    const int code = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
    result += static_cast<char>(code);
    i += 3;
  }
  return result;
}

unsigned number_of(std::string_view text, const std::string& line) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) throw_no_entry(line);
  return number;
}

void read_propagation(const std::string& word, const std::string& line, MountEntry& entry) {
  static constexpr std::string_view kShared = "shared:";
  static constexpr std::string_view kMaster = "master:";
  const std::string_view text = word;
  if (text.starts_with(kShared)) entry.peer_group = number_of(text.substr(kShared.size()), line);
  if (text.starts_with(kMaster)) entry.master = number_of(text.substr(kMaster.size()), line);
}

// proc(5): id parent major:minor root mount-point options [optional...] - type source super-options
MountEntry parse_line(const std::string& line) {
  std::istringstream words(line);
  std::string id;
  std::string parent;
  std::string device;
  MountEntry entry;
  std::string root;
  std::string point;
  if (!(words >> id >> parent >> device >> root >> point >> entry.options)) throw_no_entry(line);
  const std::size_t colon = device.find(':');
  if (colon == std::string::npos) throw_no_entry(line);
  const std::string_view number = device;
  entry.mount_id = number_of(id, line);
  entry.parent_id = number_of(parent, line);
  entry.major = number_of(number.substr(0, colon), line);
  entry.minor = number_of(number.substr(colon + 1), line);
  entry.root = unescape(root);
  entry.mount_point = unescape(point);
  std::string word;
  while (words >> word && word != "-") read_propagation(word, line, entry);
  if (word != "-" || !(words >> entry.fs_type)) throw_no_entry(line);
  // The source may be empty (mount(2) with ""): then the next word is not it, but nobody asks for
  // it there.
  words >> entry.source;
  entry.source = unescape(entry.source);
  return entry;
}

}  // namespace

std::vector<MountEntry> parse_mountinfo(const std::string& text) {
  std::vector<MountEntry> entries;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) entries.push_back(parse_line(line));
  }
  return entries;
}

bool in_host_namespace() {
  // Mounts have numbers of their own in every mount namespace. The links in /proc/1/ns cannot be
  // read by a process that may do less than process 1.
  const auto host = parse_mountinfo(process::read_text_file("/proc/1/mountinfo"));
  const auto own = parse_mountinfo(process::read_text_file("/proc/self/mountinfo"));
  return !host.empty() && !own.empty() && host.front().mount_id == own.front().mount_id;
}

std::vector<std::string> list_mounts(unsigned major, unsigned minor,
                                     const std::string& placeholder) {
  const auto stands_in = [&](const MountEntry& entry) {
    return !placeholder.empty() && entry.fs_type == "tmpfs" && entry.source == placeholder;
  };
  const std::string text = process::read_text_file("/proc/1/mountinfo");
  if (text.empty()) {
    throw Error(ErrorCode::Internal,
                "cannot read /proc/1/mountinfo; the agent needs the host's process namespace");
  }
  std::vector<std::string> points;
  for (const MountEntry& entry : parse_mountinfo(text)) {
    const bool is_device = entry.major == major && entry.minor == minor;
    if (is_device || stands_in(entry)) points.push_back(entry.mount_point);
  }
  return points;
}

}  // namespace plexvol::filesystem
