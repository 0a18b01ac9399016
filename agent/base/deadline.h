// By when something must be over.
#pragma once

#include <algorithm>
#include <chrono>

namespace plexvol::base {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// Never negative.
inline std::chrono::milliseconds left_until(Deadline deadline) {
  return std::max(std::chrono::milliseconds(0),
                  std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()));
}

// For poll(2): rounded up, so that a wait of less than a millisecond is none of zero.
inline int poll_timeout(Deadline deadline) {
  if (Clock::now() >= deadline) return 0;
  constexpr std::chrono::milliseconds kLongest(1'000'000);
  return static_cast<int>(
      std::min(kLongest, left_until(deadline) + std::chrono::milliseconds(1)).count());
}

inline Deadline sooner(Deadline deadline, std::chrono::milliseconds from_now) {
  return std::min(deadline, Clock::now() + from_now);
}

}  // namespace plexvol::base
