// What a watch told, to be waited for.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "agent/store/store.h"

namespace plexvol::support {

// Must outlive the watch.
class ChangeRecorder {
 public:
  store::ChangeHandler handler() {
    return [this](const std::string& key) {
      {
        const std::lock_guard lock(mutex_);
        told_.push_back(key);
      }
      changed_.notify_all();
    };
  }

  // False when it was not told so often in a time that is long enough on any machine.
  bool wait_for(const std::string& key, long times = 1,
                std::chrono::milliseconds patience = std::chrono::seconds(30)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience,
                             [&] { return std::ranges::count(told_, key) >= times; });
  }

  long count(const std::string& key) const {
    const std::lock_guard lock(mutex_);
    return std::ranges::count(told_, key);
  }

  std::vector<std::string> told() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    told_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

}  // namespace plexvol::support
