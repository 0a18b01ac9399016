// The directories that were mounted a moment ago: their pods have not started yet.
//
// A kubelet asks for growth by the same call whether the pod runs or is about to start, and mounts
// again before it repeats a call that failed in a start. So an agent that was restarted between the
// two, and takes the pod for one that runs, answers one call with a failure.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace plexvol::flexvolume {

class RecentMounts {
 public:
  void add(const std::string& target) {
    const std::lock_guard lock(mutex_);
    // Most are never asked for again, and the driver need not tell of an unmount.
    if (targets_.size() >= kMost) targets_.clear();
    targets_.insert(target);
  }
  // True once for each mount.
  bool take(const std::string& target) {
    const std::lock_guard lock(mutex_);
    return targets_.erase(target) > 0;
  }

 private:
  static constexpr std::size_t kMost = 10'000;

  std::mutex mutex_;
  std::set<std::string> targets_;  // under mutex_
};

}  // namespace plexvol::flexvolume
