// What is to become of the copies on other nodes: of those that are away, and of those that a
// person wants empty. A hint, looked at once for all volumes: what is done about it compares with
// the store again.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "agent/model/model.h"
#include "agent/reconcile/plan.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

class Peers {
 public:
  using Clock = std::chrono::steady_clock;

  // A node counts as gone when it has been seen without its lease, and only so, for `grace`. Since
  // that is this agent's own watch, a restart of it begins anew, and no clock of another machine is
  // believed.
  explicit Peers(std::chrono::seconds grace) : grace_(grace) {}

  void look(store::TypedStore& store, Clock::time_point now = Clock::now());
  // Of a copy that was given up already (""): Lost.
  bool any_drained() const;
  PeerFate fate_of(const std::string& node, Clock::time_point now = Clock::now()) const;

 private:
  std::chrono::seconds grace_;
  mutable std::mutex mutex_;
  Clock::time_point looked_{};
  std::map<std::string, Clock::time_point> away_since_;
  std::map<std::string, model::Cordon> cordons_;
};

}  // namespace plexvol::reconcile
