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

namespace plexvol::service {

// How long a caller may be kept. `stop`: the agent is being ended.
struct Call {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop;
  std::string* subject = nullptr;  // set to the volume that the call turned out to be about
};

// Throws Unavailable when the time of the call is over: "waited for <what>".
class Awaiter {
 public:
  Awaiter(store::Store& store, const std::vector<std::string>& prefixes);

  // Looks again after each change below the prefixes, and every second in any case (leases end
  // without one).
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
  void wait(const Call& call, unsigned long seen, const std::function<std::string()>& what) const;

  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::vector<std::unique_ptr<store::Watch>> watches_;
};

}  // namespace plexvol::service
