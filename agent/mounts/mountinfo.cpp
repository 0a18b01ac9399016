#include "agent/mounts/mountinfo.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <iterator>

#include "agent/api/error.h"
#include "agent/base/files.h"

namespace plexvol::mounts {

namespace {

class File {
 public:
  explicit File(const std::string& path) : number_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

bool is_octal(char character) {
  return character >= '0' && character <= '7';
}

bool parse_number(std::string_view text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The fields of a line, which one blank separates: a field may be empty, and hold any other byte.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}
  // nullopt: there are no more.
  std::optional<std::string_view> next() {
    if (is_over_) return std::nullopt;
    const std::size_t end = rest_.find(' ');
    const std::string_view field = rest_.substr(0, end);
    is_over_ = end == std::string_view::npos;
    if (!is_over_) rest_.remove_prefix(end + 1);
    return field;
  }

 private:
  std::string_view rest_;
  bool is_over_ = false;
};

void parse_propagation(std::string_view word, MountEntry& entry) {
  static constexpr std::string_view kShared = "shared:";
  static constexpr std::string_view kMaster = "master:";
  if (word.starts_with(kShared)) parse_number(word.substr(kShared.size()), entry.peer_group);
  if (word.starts_with(kMaster)) parse_number(word.substr(kMaster.size()), entry.master);
}

bool has_word(std::string_view words, std::string_view wanted) {
  while (true) {
    const std::size_t end = words.find(',');
    if (words.substr(0, end) == wanted) return true;
    if (end == std::string_view::npos) return false;
    words.remove_prefix(end + 1);
  }
}

[[noreturn]] void throw_unreadable(const std::string& path, int error) {
  // EINVAL: a process that is ending has no mount namespace any more.
  const bool has_ended = error == ENOENT || error == ESRCH || error == EINVAL;
  const bool is_short = error == EMFILE || error == ENFILE || error == ENOMEM;
  throw Error(has_ended  ? ErrorCode::NotFound
              : is_short ? ErrorCode::Unavailable
                         : ErrorCode::Internal,
              "cannot read " + path + ": " + base::error_text(error));
}

// false: the reader wants no more.
bool read_into(const File& file, const std::string& path, LineReader& lines) {
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t count = read(file.number(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_unreadable(path, errno);
    if (count == 0) break;
    if (!lines.feed({buffer.data(), static_cast<std::size_t>(count)})) return false;
  }
  lines.finish();
  return true;
}

// proc(5): a mount or an unmount since the file was opened is an event.
bool has_changed(const File& file) {
  pollfd waiting{.fd = file.number(), .events = POLLPRI, .revents = 0};
  return poll(&waiting, 1, 0) > 0 && waiting.revents != 0;
}

}  // namespace

std::string unescape(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool is_escape = text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) &&
                           is_octal(text[at + 2]) && is_octal(text[at + 3]);
    if (!is_escape) {
      result += text[at];
      continue;
    }
    const int value = (text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0');
    result += static_cast<char>(value);
    at += 3;
  }
  return result;
}

// proc(5): id parent major:minor root mount-point options [optional...] - type source super-options
std::optional<MountEntry> parse_line(std::string_view line) {
  Fields fields(line);
  std::array<std::string_view, 6> first;
  for (std::string_view& field : first) {
    const auto next = fields.next();
    if (!next) return std::nullopt;
    field = *next;
  }
  const auto& [id, parent, device, root, point, options] = first;
  MountEntry entry;
  const std::size_t colon = device.find(':');
  if (colon == std::string_view::npos || !parse_number(id, entry.id) ||
      !parse_number(parent, entry.parent_id) ||
      !parse_number(device.substr(0, colon), entry.major) ||
      !parse_number(device.substr(colon + 1), entry.minor)) {
    return std::nullopt;
  }
  auto word = fields.next();
  for (; word && *word != "-"; word = fields.next()) parse_propagation(*word, entry);
  const auto type = fields.next();
  const auto source = fields.next();
  if (!word || !type || !source) return std::nullopt;
  entry.root = unescape(root);
  entry.mount_point = unescape(point);
  entry.read_only = has_word(options, "ro");
  entry.fs_type = unescape(*type);
  entry.source = unescape(*source);
  entry.super_options = fields.next().value_or("");
  return entry;
}

bool LineReader::feed(std::string_view piece) {
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    const std::size_t room = kLongestLine - line_.size();
    line_ += part.substr(0, room);
    is_cut_ = is_cut_ || part.size() > room;
    if (end == std::string_view::npos) return true;
    piece.remove_prefix(end + 1);
    if (!end_line()) return false;
  }
  return true;
}

void LineReader::finish() {
  if (!line_.empty()) end_line();
}

bool LineReader::end_line() {
  const bool wants_more = visit_(line_, is_cut_);
  line_.clear();
  is_cut_ = false;
  return wants_more;
}

void for_each_mount(const std::string& path, const std::function<void()>& begin,
                    const EntryVisitor& visit) {
  constexpr int kReadings = 4;
  for (int reading = 1; reading <= kReadings; ++reading) {
    const File file(path);
    if (file.number() < 0) throw_unreadable(path, errno);
    begin();
    LineReader lines([&](std::string_view line, bool is_cut) {
      auto entry = parse_line(line);
      if (!entry) return true;
      entry->is_cut = is_cut;
      return visit(*entry);
    });
    if (!read_into(file, path, lines) || !has_changed(file)) return;
  }
}

void for_each_mount(const std::string& path, const EntryVisitor& visit) {
  for_each_mount(
      path, [] {}, visit);
}

std::vector<MountEntry> select_mounts(const std::string& path,
                                      const std::function<bool(const MountEntry&)>& wanted,
                                      std::size_t most) {
  std::deque<MountEntry> found;
  for_each_mount(
      path, [&] { found.clear(); },
      [&](const MountEntry& entry) {
        if (wanted(entry)) found.push_back(entry);
        if (found.size() > most) found.pop_front();
        return true;
      });
  return {std::make_move_iterator(found.begin()), std::make_move_iterator(found.end())};
}

std::vector<MountEntry> mounts_on(const std::string& path) {
  return select_mounts("/proc/self/mountinfo",
                       [&](const MountEntry& entry) { return entry.mount_point == path; });
}

std::string describe(const MountEntry& entry) {
  std::string text = entry.source + " (" + std::to_string(entry.major) + ':' +
                     std::to_string(entry.minor) + ", " + entry.fs_type;
  if (entry.root != "/") text += ", its directory " + entry.root;
  return text + ')';
}

}  // namespace plexvol::mounts
