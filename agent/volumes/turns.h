// Those who look for room on a node take turns.
//
// Each of them reads what is promised there, which takes the longer the more volumes there are, and
// its transaction fails when another was faster. With many at once most of that reading is for
// nothing, and the one that loses every time gives up. Turns are kept within one agent, and only to
// be fair: it is the transaction that keeps the room from being promised twice.
#pragma once

#include <chrono>
#include <mutex>

namespace plexvol::volumes {

class Turns {
 public:
  // Its turn lasts as long as what this returns. Who has waited too long goes on without one.
  [[nodiscard]] std::unique_lock<std::timed_mutex> take() {
    return std::unique_lock(mutex_, kPatience);
  }

 private:
  static constexpr std::chrono::seconds kPatience{20};

  std::timed_mutex mutex_;
};

}  // namespace plexvol::volumes
