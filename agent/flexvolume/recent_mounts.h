// The directories that were mounted a moment ago: their pods have not started yet.
//
// A kubelet asks for growth by the same call whether the pod runs or is about to start; in a start it
// asks directly after the mount, and mounts again before it repeats a call that failed.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

namespace plexvol::flexvolume {

class RecentMounts {
 public:
  using Clock = std::chrono::steady_clock;

  void add(const std::string& target, Clock::time_point now = Clock::now()) {
    const std::lock_guard lock(mutex_);
    std::erase_if(mounted_, [&](const auto& one) { return now - one.second > kRecent; });
    mounted_[target] = now;
  }
  // True once for each mount.
  bool take(const std::string& target, Clock::time_point now = Clock::now()) {
    const std::lock_guard lock(mutex_);
    const auto found = mounted_.find(target);
    if (found == mounted_.end()) return false;
    const bool is_recent = now - found->second <= kRecent;
    mounted_.erase(found);
    return is_recent;
  }

 private:
  // Seen between the two: some milliseconds, in which the kubelet reads the claim.
  static constexpr std::chrono::seconds kRecent{5};

  std::mutex mutex_;
  std::map<std::string, Clock::time_point> mounted_;  // under mutex_
};

}  // namespace plexvol::flexvolume
