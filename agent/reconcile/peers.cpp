#include "agent/reconcile/peers.h"

#include <utility>

namespace plexvol::reconcile {

namespace {

// Longer than between two patrols: an agent that has not reached the store knows nothing of others.
constexpr std::chrono::minutes kStale(3);

}  // namespace

void Peers::note(const std::string& node, bool is_alive, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (is_alive) {
    away_.erase(node);
    return;
  }
  Away& away = away_.try_emplace(node, Away{now, now}).first->second;
  if (now - away.seen >= kStale) away.since = now;
  away.seen = now;
}

std::set<std::string> Peers::look_at_cordons(store::TypedStore& store) {
  // From the look to the note of it, so that no older look comes last.
  const std::lock_guard one_at_a_time(look_mutex_);
  auto cordons = store.list_cordons();
  const std::lock_guard lock(mutex_);
  std::set<std::string> changed;
  for (const auto* all : {&cordons, &cordons_}) {
    for (const auto& [node, cordon] : *all) {
      const auto before = cordons_.find(node);
      const auto after = cordons.find(node);
      const bool same =
          before != cordons_.end() && after != cordons.end() && before->second == after->second;
      if (!same) changed.insert(node);
    }
  }
  cordons_ = std::move(cordons);
  return changed;
}

std::set<std::string> Peers::list_drained() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> drained;
  for (const auto& [node, cordon] : cordons_) {
    if (cordon.drain) drained.insert(node);
  }
  return drained;
}

bool Peers::is_drained(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  const auto cordon = cordons_.find(node);
  return cordon != cordons_.end() && cordon->second.drain && !cordon->second.forget;
}

PeerFate Peers::fate_of(const std::string& node, Clock::time_point now) const {
  if (node.empty()) return PeerFate::Lost;
  const std::lock_guard lock(mutex_);
  const auto away = away_.find(node);
  const bool is_away = away != away_.end();
  const auto cordon = cordons_.find(node);
  const bool marked = cordon != cordons_.end();
  if (is_away && marked && cordon->second.forget) return PeerFate::Lost;
  if (is_away && now - away->second.since >= grace_) return PeerFate::Gone;
  // Who is there all the same after having been called lost, stays until somebody says otherwise.
  const bool drained = marked && cordon->second.drain && !cordon->second.forget;
  return drained ? PeerFate::Drained : PeerFate::Stays;
}

}  // namespace plexvol::reconcile
