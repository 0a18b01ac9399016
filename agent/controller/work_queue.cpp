#include "agent/controller/work_queue.h"

#include <algorithm>
#include <random>

namespace plexvol::controller {

namespace {

// Up to a quarter longer, so that what failed together does not come back together.
WorkQueue::Clock::duration jittered(WorkQueue::Clock::duration pause) {
  static thread_local std::mt19937 random{std::random_device{}()};
  return pause + pause / 4 * std::uniform_int_distribution<int>(0, 100)(random) / 100;
}

}  // namespace

void WorkQueue::put(const std::string& name, Clock::time_point at) {
  const auto [found, is_new] = due_.try_emplace(name, at);
  const bool waits = !taken_.contains(name);
  if (!is_new) {
    if (found->second <= at) return;
    if (waits) order_.erase({found->second, name});
    found->second = at;
  }
  if (waits) order_.emplace(at, name);
}

void WorkQueue::add_after(const std::string& name, Clock::duration pause) {
  const std::lock_guard lock(mutex_);
  put(name, Clock::now() + pause);
  changed_.notify_one();
}

std::optional<std::string> WorkQueue::take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (order_.empty()) {
      changed_.wait(lock, stop, [this] { return !order_.empty(); });
      continue;
    }
    const auto [at, name] = *order_.begin();
    if (at <= Clock::now()) {
      order_.erase(order_.begin());
      due_.erase(name);
      taken_.insert(name);
      return name;
    }
    changed_.wait_until(lock, stop, at,
                        [this, at = at] { return !order_.empty() && order_.begin()->first < at; });
  }
  return std::nullopt;
}

void WorkQueue::done(const std::string& name) {
  const std::lock_guard lock(mutex_);
  failures_.erase(name);
  taken_.erase(name);
  if (const auto due = due_.find(name); due != due_.end()) order_.emplace(due->second, name);
  changed_.notify_one();
}

void WorkQueue::retry(const std::string& name) {
  constexpr unsigned kMostDoublings = 20;
  const std::lock_guard lock(mutex_);
  const unsigned failures = std::min(failures_[name]++, kMostDoublings);
  const Clock::duration pause =
      std::min(pauses_.longest, pauses_.first * static_cast<Clock::rep>(1U << failures));
  taken_.erase(name);
  if (const auto due = due_.find(name); due != due_.end()) order_.emplace(due->second, name);
  put(name, Clock::now() + jittered(pause));
  changed_.notify_one();
}

}  // namespace plexvol::controller
