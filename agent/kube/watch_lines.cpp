#include "agent/kube/watch_lines.h"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "agent/api/error.h"
#include "agent/kube/failure.h"
#include "agent/kube/json.h"

namespace plexvol::kube {

namespace {

constexpr std::array<std::pair<std::string_view, WatchEvent::Kind>, 4> kKinds{{
    {"ADDED", WatchEvent::Kind::Added},
    {"MODIFIED", WatchEvent::Kind::Modified},
    {"DELETED", WatchEvent::Kind::Deleted},
    {"BOOKMARK", WatchEvent::Kind::Bookmark},
}};

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \r\t") == std::string_view::npos;
}

}  // namespace

Lines::Lines(std::string what, std::size_t longest) : what_(std::move(what)), longest_(longest) {}

bool Lines::add(std::string_view part, const std::function<bool(std::string_view line)>& on_line) {
  while (!part.empty()) {
    const std::size_t end = part.find('\n');
    const std::string_view piece = part.substr(0, end);
    if (rest_.size() + piece.size() > longest_) {
      throw Error(ErrorCode::Internal,
                  fmt::format("{}: a line has more than {} bytes", what_, longest_));
    }
    if (end == std::string_view::npos) {
      rest_ += piece;
      return true;
    }
    part.remove_prefix(end + 1);
    const std::string line = std::exchange(rest_, "").append(piece);
    if (!is_blank(line) && !on_line(line)) return false;
  }
  return true;
}

WatchLine decode_watch_line(std::string_view line, const std::string& what) {
  const JsonValue json = parse_object(line, what);
  const std::string type = text_or_empty(json, "type");
  const auto object = json.find("object");
  if (type.empty() || object == json.end() || !object->is_object()) {
    throw Error(ErrorCode::Internal, fmt::format("{}: an event without type or object", what));
  }
  if (type == "ERROR") {
    if (code_of(*object) == 410) return {.is_expired = true, .event = std::nullopt};
    throw to_error(what, *object);
  }
  for (const auto& [text, kind] : kKinds) {
    if (text != type) continue;
    const auto meta = object->find("metadata");
    return {.event =
                WatchEvent{kind, dump(*object),
                           meta == object->end() ? "" : text_or_empty(*meta, "resourceVersion")}};
  }
  return {};
}

}  // namespace plexvol::kube
