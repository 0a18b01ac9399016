#include "agent/reconcile/queue.h"

#include <algorithm>
#include <random>

namespace plexvol::reconcile {

void Queue::add(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  // Not later than it was due already: what is added again and again would never come.
  const auto now = Clock::now();
  auto& due = due_.try_emplace(volume, now).first->second;
  due = std::min(due, now);
  changed_.notify_one();
}

std::optional<std::string> Queue::take() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    auto next = due_.end();
    for (auto it = due_.begin(); it != due_.end(); ++it) {
      if (taken_.contains(it->first)) continue;
      if (next == due_.end() || it->second < next->second) next = it;
    }
    if (next == due_.end()) {
      changed_.wait(lock);
    } else if (next->second > Clock::now()) {
      const auto due = next->second;
      changed_.wait_until(lock, due);
    } else {
      std::string volume = next->first;
      due_.erase(next);
      taken_.insert(volume);
      return volume;
    }
  }
  return std::nullopt;
}

void Queue::done(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  taken_.erase(volume);
  failures_.erase(volume);
  changed_.notify_one();
}

void Queue::retry(const std::string& volume, Clock::duration min, Clock::duration max) {
  thread_local std::minstd_rand random(std::random_device{}());
  const std::lock_guard lock(mutex_);
  taken_.erase(volume);
  unsigned& failures = failures_[volume];
  constexpr unsigned kMaxDoublings = 16;
  const auto delay = std::min(max, min * (1U << std::min(failures, kMaxDoublings)));
  ++failures;
  const auto jitter = delay / 4 * std::uniform_int_distribution<int>(0, 100)(random) / 100;
  // What was added meanwhile comes at once.
  due_.try_emplace(volume, Clock::now() + delay + jitter);
  changed_.notify_one();
}

void Queue::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace plexvol::reconcile
