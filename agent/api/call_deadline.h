// By when the call that this thread works for must be answered.
//
// Whoever waits for something else meanwhile, as for the store, gives up in time to say what it was
// that did not answer. Otherwise the caller's own time is over first, and it blames the agent.
#pragma once

#include <chrono>
#include <optional>

namespace plexvol::api {

// In force for this thread while it lives. They nest: the earliest counts.
class CallDeadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit CallDeadline(Clock::time_point deadline);
  CallDeadline(const CallDeadline&) = delete;
  CallDeadline& operator=(const CallDeadline&) = delete;
  ~CallDeadline();

  // `deadline`, or the one in force where that is earlier: but half a second from now at least, for
  // what is begun late, and not at all when it is over, since nobody waits for what is then tidied
  // up.
  static Clock::time_point earliest(Clock::time_point deadline);

 private:
  std::optional<Clock::time_point> before_;
};

}  // namespace plexvol::api
