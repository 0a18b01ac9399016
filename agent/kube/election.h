// One of several is the leader: a lock in the API server that its holder renews.
//
// As client-go's leader election does it: a Lease of coordination.k8s.io (v1, before 1.14 v1beta1),
// where the server has one, else the annotation control-plane.alpha.kubernetes.io/leader on a
// ConfigMap. A lock that was not renewed for its duration since this process saw it change is free:
// nobody compares clocks of two machines. Every write compares the resourceVersion.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "agent/kube/client.h"

namespace plexvol::kube {

struct ElectionSettings {
  std::string ns;
  std::string name;      // of the lock
  std::string identity;  // of this process; a lock that it holds already is its own again at once
  // Others may take it after so long without a word: pods of a dead node that the holder was on wait
  // for that, too.
  std::chrono::milliseconds duration{9'000};
  // A holder that could not renew it for this long gives it up.
  std::chrono::milliseconds renew{6'000};
  std::chrono::milliseconds retry{1'500};
  // False: do not compete, and give up what is held. Asked every `retry`; must return soon, since
  // nothing is renewed meanwhile, and not throw.
  std::function<bool()> may_lead;
};

class Election {
 public:
  Election(Client& client, ElectionSettings settings);

  // Competes until this process is the leader, then calls `lead` on a thread of its own, with a
  // token that is stopped when the lock is lost or given up; returns when `lead` has returned, and
  // throws what it threw. The lock is released (its holder emptied) after `lead` has returned,
  // unless it was lost. Until then it is renewed, after a stop for at most `duration`: another must
  // not begin before this one has ended.
  // False: lost or given up, or `lead` returned by itself; true: stopped.
  bool run_once(const std::function<void(std::stop_token)>& lead, const std::stop_token& stop);
  bool is_leader() const { return leads_; }

 private:
  Client& client_;
  const ElectionSettings settings_;
  std::atomic<bool> leads_ = false;
};

}  // namespace plexvol::kube
