// Rung by many, heard by one thread: something has changed, look at what.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>

#include "agent/base/deadline.h"

namespace plexvol::controller {

class Bell {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    changed_.notify_all();
  }
  // Until it rings, which may have been before, or until the deadline. False when stopped.
  bool wait(base::Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, stop, deadline, [this] { return rung_; });
    rung_ = false;
    return !stop.stop_requested();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool rung_ = false;
};

}  // namespace plexvol::controller
