// Pauses between attempts. Private to agent/kube.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace plexvol::kube {

// Each pause is twice as long as the one before, up to `longest`, less up to half of it by chance.
class Backoff {
 public:
  using Milliseconds = std::chrono::milliseconds;

  Backoff(Milliseconds first, Milliseconds longest)
      : first_(first), longest_(longest), limit_(first) {}

  Milliseconds next() {
    std::uniform_int_distribution<Milliseconds::rep> pause(limit_.count() / 2, limit_.count());
    limit_ = std::min(limit_ * 2, longest_);
    return Milliseconds(pause(random_));
  }
  void reset() { limit_ = first_; }

 private:
  Milliseconds first_;
  Milliseconds longest_;
  Milliseconds limit_;
  std::minstd_rand random_{std::random_device()()};
};

}  // namespace plexvol::kube
