#include "agent/drbd/events.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "agent/api/error.h"
#include "agent/drbd/drbd.h"

namespace plexvol::drbd {
namespace {

constexpr std::uint64_t kBytesPerKib = 1024;

// Cuts the next word off the front of `rest`.
std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

template <typename Handler>
void for_each_line(std::string_view text, const Handler& handle) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (const auto line = parse_event_line(text.substr(0, end))) handle(*line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <typename Number>
Number to_number(std::string_view text, std::string_view key) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return number;
  throw Error(ErrorCode::Internal,
              fmt::format("drbdsetup events2: \"{}:{}\" is not a number", key, text));
}

struct Picture {
  ResourceState state;
  std::uint64_t size_bytes = 0;
  std::uint64_t moved_bytes = 0;  // read, written, sent and received
};

// A word that this object must have: without it nothing may be decided.
std::string needed(const EventLine& line, std::string_view key) {
  const std::string_view value = find_field(line.fields, key);
  if (!value.empty()) return std::string(value);
  throw Error(ErrorCode::Internal, fmt::format("drbdsetup events2: no \"{}\" for {} in \"{}\"", key,
                                               line.object, line.fields));
}

std::uint64_t bytes_of(const EventLine& line, std::string_view key) {
  const std::string_view kib = find_field(line.fields, key);
  return kib.empty() ? 0 : to_number<std::uint64_t>(kib, key) * kBytesPerKib;
}

void read_line(const EventLine& line, Picture& picture) {
  ResourceState& state = picture.state;
  if (line.object == "resource") {
    state.role = needed(line, "role");
    state.suspended = needed(line, "suspended");
  } else if (line.object == "connection") {
    state.connection = needed(line, "connection");
    if (const auto number = find_field(line.fields, "peer-node-id"); !number.empty()) {
      state.peer_number = to_number<unsigned>(number, "peer-node-id");
    }
    state.peer_role = needed(line, "role");
  } else if (line.object == "device") {
    state.minor = to_number<unsigned>(needed(line, "minor"), "minor");
    state.disk_state = needed(line, "disk");
    picture.size_bytes = bytes_of(line, "size");
    picture.moved_bytes += bytes_of(line, "read") + bytes_of(line, "written");
  } else if (line.object == "peer-device") {
    state.replication = needed(line, "replication");
    state.peer_disk_state = needed(line, "peer-disk");
    state.resync_suspended = find_field(line.fields, "resync-suspended");
    state.out_of_sync_bytes = bytes_of(line, "out-of-sync");
    picture.moved_bytes += bytes_of(line, "received") + bytes_of(line, "sent");
  }
}

// "address ipv4 10.0.0.1:7000;" directly inside this section, as "ipv4:10.0.0.1:7000"; "" when
// there is none.
std::string find_address(std::string_view show, std::string_view section) {
  const std::size_t begin = show.find(section);
  if (begin == std::string_view::npos) return "";
  show.remove_prefix(begin + section.size());
  show = show.substr(0, show.find_first_of("{}"));
  constexpr std::string_view kKey = "address";
  const std::size_t key = show.find(kKey);
  const std::size_t end = show.find(';', key);
  if (key == std::string_view::npos || end == std::string_view::npos) return "";
  std::string text(show.substr(key + kKey.size(), end - key - kKey.size()));
  std::replace(text.begin(), text.end(), '\t', ' ');
  std::string_view rest = text;
  const std::string family(take_word(rest));
  const std::string_view address = take_word(rest);
  return address.empty() ? "" : family + ":" + std::string(address);
}

}  // namespace

std::optional<EventLine> parse_event_line(std::string_view line) {
  EventLine event;
  event.action = take_word(line);
  event.object = take_word(line);
  if (event.object.empty()) return std::nullopt;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  event.fields = line;
  return event;
}

std::string_view find_field(std::string_view fields, std::string_view key) {
  while (!fields.empty()) {
    const std::string_view word = take_word(fields);
    if (word.size() > key.size() && word[key.size()] == ':' && word.starts_with(key)) {
      return word.substr(key.size() + 1);
    }
  }
  return {};
}

std::map<std::string, ResourceState> parse_events2(const std::string& text) {
  std::map<std::string, Picture> pictures;
  bool whole = false;
  for_each_line(text, [&](const EventLine& line) {
    if (line.action != "exists") return;
    if (line.object == "-") whole = true;
    const std::string name(find_field(line.fields, "name"));
    if (!name.empty()) read_line(line, pictures[name]);
  });
  // A list that was cut off would read as "those resources are gone".
  if (!whole) {
    throw Error(ErrorCode::Internal, "drbdsetup events2 --now stopped before its end mark");
  }
  std::map<std::string, ResourceState> resources;
  for (auto& [name, picture] : pictures) {
    ResourceState& state = resources[name] = std::move(picture.state);
    state.untouched = picture.moved_bytes == 0;
    // 8.4 gives no "done:".
    if (picture.size_bytes > 0 && state.out_of_sync_bytes <= picture.size_bytes) {
      state.synced_percent = 100.0 *
                             static_cast<double>(picture.size_bytes - state.out_of_sync_bytes) /
                             static_cast<double>(picture.size_bytes);
    }
  }
  return resources;
}

std::optional<Endpoints> parse_endpoints(std::string_view show) {
  const std::string local = find_address(show, "_this_host {");
  const std::string peer = find_address(show, "_remote_host {");
  if (local.empty() || peer.empty()) return std::nullopt;
  return Endpoints{local, peer};
}

}  // namespace plexvol::drbd
