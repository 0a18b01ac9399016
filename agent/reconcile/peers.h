// What is to become of the copies on other nodes: of those that are away, and of those that a
// person wants empty. A hint: what is done about it compares with the store again.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <set>
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

  // For each look at a volume that has a copy there, too.
  void note(const std::string& node, bool is_alive, Clock::time_point now = Clock::now());
  // Answers the nodes of which a person thinks differently than before.
  std::set<std::string> look_at_cordons(store::TypedStore& store);
  std::set<std::string> list_drained() const;
  // Not to be forgotten as well.
  bool is_drained(const std::string& node) const;
  // Of a copy that was given up already (""): Lost.
  PeerFate fate_of(const std::string& node, Clock::time_point now = Clock::now()) const;

 private:
  struct Away {
    Clock::time_point since;
    Clock::time_point seen;  // last
  };

  std::chrono::seconds grace_;
  std::mutex look_mutex_;  // taken before mutex_
  mutable std::mutex mutex_;
  std::map<std::string, Away> away_;
  std::map<std::string, model::Cordon> cordons_;
};

}  // namespace plexvol::reconcile
