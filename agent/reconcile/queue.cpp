#include "agent/reconcile/queue.h"

#include <algorithm>
#include <random>

namespace plexvol::reconcile {

void Queue::add(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  auto at = Clock::now();
  if (const auto due = due_.find(volume); due != due_.end()) {
    // Not later than it was due already: what is added again and again would never come.
    at = std::min(at, due->second.at);
    remove(due);
  }
  put(volume, {.at = at, .ahead = nullptr});
}

std::optional<Queue::Item> Queue::take() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (order_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto [at, volume] = *order_.begin();
    if (at > Clock::now()) {
      changed_.wait_until(lock, at);
      continue;
    }
    Item item = take_out(due_.find(volume));
    // The worker that was told of the rest may be this one.
    if (!order_.empty()) changed_.notify_one();
    return item;
  }
  return std::nullopt;
}

std::optional<Queue::Item> Queue::take_overdue(Clock::duration by) {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (const auto volume = find_overdue(by)) return take_out(due_.find(*volume));
    stopping_.wait_for(lock, by);
  }
  return std::nullopt;
}

std::optional<std::string> Queue::find_overdue(Clock::duration by) const {
  const auto latest = Clock::now() - by;
  for (const auto& [at, volume] : order_) {
    if (at > latest) break;
    const Due& due = due_.at(volume);
    // The patrol's are no events, and there may be thousands of them.
    if (!due.examined && !due.ahead) return volume;
  }
  return std::nullopt;
}

Queue::Item Queue::take_out(Dues::iterator due) {
  Item item{.name = due->first, .ahead = std::move(due->second.ahead), .at = due->second.at};
  remove(due);
  taken_.insert(item.name);
  return item;
}

void Queue::examined(const Item& item) {
  const std::lock_guard lock(mutex_);
  give_back(item.name);
  if (!due_.contains(item.name)) put(item.name, {.at = item.at, .ahead = {}, .examined = true});
}

void Queue::done(const std::string& volume) {
  const std::lock_guard lock(mutex_);
  give_back(volume);
  failures_.erase(volume);
}

void Queue::retry(const std::string& volume, Clock::duration min, Clock::duration max) {
  thread_local std::minstd_rand random(std::random_device{}());
  const std::lock_guard lock(mutex_);
  give_back(volume);
  unsigned& failures = failures_[volume];
  constexpr unsigned kMaxDoublings = 16;
  const auto delay = std::min(max, min * (1U << std::min(failures, kMaxDoublings)));
  ++failures;
  const auto jitter = delay / 4 * std::uniform_int_distribution<int>(0, 100)(random) / 100;
  // What was added meanwhile comes at once.
  if (!due_.contains(volume)) put(volume, {.at = Clock::now() + delay + jitter, .ahead = nullptr});
}

std::vector<std::string> Queue::claim(const std::vector<std::string>& volumes) noexcept {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  std::vector<std::string> claimed;
  for (const std::string& volume : volumes) {
    const auto due = due_.find(volume);
    if (taken_.contains(volume)) {
      if (due == due_.end()) put(volume, {.at = now, .ahead = nullptr});
      continue;
    }
    if (due != due_.end()) {
      // It keeps its place, and not what was read before.
      due->second.ahead.reset();
      if (due->second.at <= now) continue;
      remove(due);
    }
    taken_.insert(volume);
    claimed.push_back(volume);
  }
  return claimed;
}

void Queue::offer(const std::string& volume, Ahead ahead) noexcept {
  const std::lock_guard lock(mutex_);
  give_back(volume);
  if (!due_.contains(volume)) put(volume, {.at = Clock::now(), .ahead = std::move(ahead)});
}

void Queue::put(const std::string& volume, Due due) {
  if (!taken_.contains(volume)) order_.emplace(due.at, volume);
  due_.emplace(volume, std::move(due));
  changed_.notify_one();
}

void Queue::remove(Dues::iterator due) {
  order_.erase({due->second.at, due->first});
  due_.erase(due);
}

void Queue::give_back(const std::string& volume) {
  taken_.erase(volume);
  if (const auto due = due_.find(volume); due != due_.end()) {
    order_.emplace(due->second.at, volume);
    changed_.notify_one();
  }
}

void Queue::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  stopping_.notify_all();
}

}  // namespace plexvol::reconcile
