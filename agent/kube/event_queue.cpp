#include "agent/kube/event_queue.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace plexvol::kube {

std::string EventText::object_key() const {
  return fmt::format("{}\n{}\n{}\n{}", about.kind, about.ns, about.name, about.uid);
}

std::string EventText::key() const {
  return fmt::format("{}\n{}\n{}\n{}", object_key(), type == EventType::Warning, reason, message);
}

bool EventQueue::add(EventText text, Time now, std::int64_t seconds_since_1970) {
  const std::string key = text.key();
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) {
    return waiting.text.key() == key;
  });
  if (found != waiting_.end()) {
    ++found->count;
    found->last_at = seconds_since_1970;
    return true;
  }
  if (waiting_.size() >= Events::kMaxWaiting) return false;
  waiting_.push_back({std::move(text), 1, seconds_since_1970, seconds_since_1970, now});
  return true;
}

void EventQueue::drop_old(Time now) {
  std::erase_if(waiting_,
                [&](const Waiting& waiting) { return now - waiting.since > kLongestWait; });
}

int EventQueue::allowed(const Allowance& allowance, Time now) {
  const auto more = (now - allowance.counted_at) / kRefill;
  return static_cast<int>(std::min<std::int64_t>(kAtOnce, allowance.left + more));
}

std::optional<EventQueue::Waiting> EventQueue::take(Time now) {
  forget_idle(now);
  for (auto waiting = waiting_.begin(); waiting != waiting_.end(); ++waiting) {
    Allowance& allowance =
        allowances_.try_emplace(waiting->text.object_key(), Allowance{kAtOnce, now}).first->second;
    const int left = allowed(allowance, now);
    if (left == 0) continue;
    // What is left of a second counts on.
    const int gained = left - allowance.left;
    allowance.counted_at =
        left == kAtOnce ? now : allowance.counted_at + gained * Time::duration(kRefill);
    allowance.left = left - 1;
    Waiting taken = std::move(*waiting);
    waiting_.erase(waiting);
    return taken;
  }
  return std::nullopt;
}

void EventQueue::put_back(Waiting waiting) {
  waiting_.push_front(std::move(waiting));
}

std::optional<EventQueue::Time> EventQueue::next(Time now) const {
  std::optional<Time> earliest;
  for (const Waiting& waiting : waiting_) {
    const auto found = allowances_.find(waiting.text.object_key());
    const bool may_go = found == allowances_.end() || allowed(found->second, now) > 0;
    const Time at = may_go ? now : found->second.counted_at + kRefill;
    earliest = earliest ? std::min(*earliest, at) : at;
  }
  return earliest;
}

void EventQueue::forget_idle(Time now) {
  std::erase_if(allowances_,
                [&](const auto& entry) { return allowed(entry.second, now) >= kAtOnce; });
}

std::optional<EventQueue::Sent> EventQueue::recall(const EventText& text) const {
  const auto found = sent_.find(text.key());
  if (found == sent_.end()) return std::nullopt;
  return found->second.sent;
}

void EventQueue::remember(const EventText& text, Sent sent) {
  const std::string key = text.key();
  const auto found = sent_.find(key);
  if (found != sent_.end()) {
    order_.erase(found->second.place);
    sent_.erase(found);
  }
  order_.push_front(key);
  sent_[key] = {std::move(sent), order_.begin()};
  if (sent_.size() <= kMostRemembered) return;
  sent_.erase(order_.back());
  order_.pop_back();
}

}  // namespace plexvol::kube
