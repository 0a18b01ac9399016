// Every call ends by itself: its callers have no time limit of their own.
#pragma once

#include <algorithm>
#include <chrono>

namespace plexvol::driver {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
using std::chrono::milliseconds;

// Never negative.
inline milliseconds left_until(Deadline deadline) {
  return std::max(milliseconds(0),
                  std::chrono::duration_cast<milliseconds>(deadline - Clock::now()));
}

// For poll(2): rounded up, so that a wait of less than a millisecond is none of zero.
inline int poll_timeout(Deadline deadline) {
  if (Clock::now() >= deadline) return 0;
  constexpr milliseconds kLongest(1'000'000);
  return static_cast<int>(std::min(kLongest, left_until(deadline) + milliseconds(1)).count());
}

inline Deadline sooner(Deadline deadline, milliseconds from_now) {
  return std::min(deadline, Clock::now() + from_now);
}

}  // namespace plexvol::driver
