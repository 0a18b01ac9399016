// What a pass over a volume records for later ones: how long a state has lasted, and what it saw of
// mounts and peers. Only hints: after a restart of the agent all of it begins again.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"
#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

// Safe to use from several threads.
class Memory {
 public:
  using Duration = std::chrono::steady_clock::duration;

  // True: it has been so at each call for `long_enough`. To be asked in every pass, so that the
  // time begins again when the state ends.
  bool waits_for_peer(const Wanted& wanted, const Seen& seen, Duration long_enough);
  bool is_apart(const Wanted& wanted, const Seen& seen, Duration long_enough);
  bool is_unable(const std::string& volume, bool unable_now, Duration long_enough);
  bool is_frozen(const Wanted& wanted, const Seen& seen, Duration long_enough);

  void record_mounts(const std::string& volume, const Seen& seen);
  // `node` has the other copy, or the only one; "": none is here.
  void record_peer(const std::string& volume, const std::string& node);
  // Of a volume that is no longer this node's.
  void forget(const std::string& volume);

  // The volumes that have a copy here, and the other one, or their only one, on one of `nodes`.
  std::vector<std::string> list_with_peer_in(const std::set<std::string>& nodes) const;
  // See Reconciler for both.
  std::vector<std::string> list_changed_mounts() const;
  std::map<std::string, std::vector<std::string>> list_mounts() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Since = std::map<std::string, Clock::time_point>;  // by volume

  struct MountedDevice {  // tells whether an event of the mount table concerns the volume
    mounts::DeviceNumber device;
    std::vector<std::string> mounts;
    bool is_frozen = false;
  };

  bool has_lasted(Since& since, const std::string& volume, bool is_so, Duration long_enough);

  mutable std::mutex mutex_;
  Since waiting_since_;
  Since apart_since_;
  Since unable_since_;
  Since frozen_since_;
  std::map<std::string, MountedDevice> mounted_;  // by volume, as the last pass saw it
  std::map<std::string, std::string> peer_of_;    // by volume, of those with a copy here
};

}  // namespace plexvol::reconcile
