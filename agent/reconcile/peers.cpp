#include "agent/reconcile/peers.h"

#include <set>
#include <utility>

namespace plexvol::reconcile {

void Peers::look(store::TypedStore& store, Clock::time_point now) {
  const std::set<std::string> alive = store.list_alive_nodes();
  const std::vector<model::Node> nodes = store.list_nodes();
  auto cordons = store.list_cordons();
  const std::lock_guard lock(mutex_);
  cordons_ = std::move(cordons);
  std::erase_if(away_since_, [&](const auto& entry) { return alive.contains(entry.first); });
  for (const model::Node& node : nodes) {
    if (!alive.contains(node.name)) away_since_.try_emplace(node.name, now);
  }
}

PeerFate Peers::fate_of(const std::string& node, Clock::time_point now) const {
  if (node.empty()) return PeerFate::Lost;
  const std::lock_guard lock(mutex_);
  if (const auto cordon = cordons_.find(node); cordon != cordons_.end()) {
    if (cordon->second.forget) return PeerFate::Lost;
    if (cordon->second.drain) return PeerFate::Drained;
  }
  const auto away = away_since_.find(node);
  const bool gone = away != away_since_.end() && now - away->second >= grace_;
  return gone ? PeerFate::Gone : PeerFate::Stays;
}

}  // namespace plexvol::reconcile
