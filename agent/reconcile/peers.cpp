#include "agent/reconcile/peers.h"

#include <algorithm>
#include <set>
#include <utility>

namespace plexvol::reconcile {

void Peers::look(store::TypedStore& store, Clock::time_point now) {
  const std::set<std::string> alive = store.list_alive_nodes();
  const std::vector<model::Node> nodes = store.list_nodes();
  auto cordons = store.list_cordons();
  const std::lock_guard lock(mutex_);
  looked_ = now;
  cordons_ = std::move(cordons);
  std::erase_if(away_since_, [&](const auto& entry) { return alive.contains(entry.first); });
  for (const model::Node& node : nodes) {
    if (!alive.contains(node.name)) away_since_.try_emplace(node.name, now);
  }
}

bool Peers::any_drained() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(cordons_.begin(), cordons_.end(),
                     [](const auto& cordon) { return cordon.second.drain; });
}

PeerFate Peers::fate_of(const std::string& node, Clock::time_point now) const {
  // Longer than between two patrols: an agent that has not reached the store knows nothing of
  // others.
  constexpr std::chrono::minutes kStale(3);
  if (node.empty()) return PeerFate::Lost;
  const std::lock_guard lock(mutex_);
  const auto away = away_since_.find(node);
  const bool is_away = away != away_since_.end() && now - looked_ < kStale;
  const auto cordon = cordons_.find(node);
  const bool marked = cordon != cordons_.end();
  if (is_away && marked && cordon->second.forget) return PeerFate::Lost;
  if (is_away && now - away->second >= grace_) return PeerFate::Gone;
  // Who is there all the same after having been called lost, stays until somebody says otherwise.
  const bool drained = marked && cordon->second.drain && !cordon->second.forget;
  return drained ? PeerFate::Drained : PeerFate::Stays;
}

}  // namespace plexvol::reconcile
