// The lines of a watch. Private to agent/kube.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/kube/client.h"

namespace plexvol::kube {

// Puts lines together from parts that end anywhere.
class Lines {
 public:
  static constexpr std::size_t kLongest = 8UL << 20U;

  explicit Lines(std::string what, std::size_t longest = kLongest);

  // Calls `on_line` with each line that is whole and not blank, until that returns false: then false
  // at once. Throws Error(Internal) when a line gets too long.
  bool add(std::string_view part, const std::function<bool(std::string_view line)>& on_line);
  // Bytes of a line without its end.
  bool has_rest() const { return !rest_.empty(); }

 private:
  const std::string what_;
  const std::size_t longest_;
  std::string rest_;
};

// Of one line.
struct WatchLine {
  bool is_expired = false;  // error 410: no event, and none will follow
  // nullopt also for a type that we do not know.
  std::optional<WatchEvent> event;
};
// Throws Error(Internal) when it is none, and what another error event says.
WatchLine decode_watch_line(std::string_view line, const std::string& what);

}  // namespace plexvol::kube
