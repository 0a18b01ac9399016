// Waiting for the store to say something, woken by changes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::volumes {

// How long a caller may be kept. `stop`: the agent is being ended.
struct Call {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop;
  std::string* subject = nullptr;  // set to the volume that the call turned out to be about

  void is_about(const std::string& volume) const {
    if (subject != nullptr) *subject = volume;
  }
};

// The rare look of calls that wait for a change.
inline constexpr std::chrono::seconds kRareLook(10);

// Throws Unavailable when the time of the call is over: "waited for <what>".
class Awaiter {
 public:
  Awaiter(store::Store& store, const std::vector<std::string>& prefixes);

  // Looks as well at this time: for what depends on how long something has lasted.
  void look_at(std::chrono::steady_clock::time_point time) { due_ = time; }

  // Looks again after each change below the prefixes, which have to name all that the answer rests
  // on: a cluster of calls that wait must not ask its store over and over. A rare look in any case
  // makes up for a change that nobody was told of.
  template <class T>
  T until(const Call& call, const std::function<std::optional<T>()>& look,
          const std::function<std::string()>& what) {
    while (true) {
      const unsigned long seen = changes();
      if (std::optional<T> found = look()) return std::move(*found);
      wait(call, seen, what);
    }
  }

 private:
  struct Signal {
    std::mutex mutex;
    std::condition_variable_any changed;
    unsigned long changes = 0;
  };
  unsigned long changes() const;
  void wait(const Call& call, unsigned long seen, const std::function<std::string()>& what);

  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::optional<std::chrono::steady_clock::time_point> due_;
  std::vector<std::unique_ptr<store::Watch>> watches_;
};

}  // namespace plexvol::volumes
