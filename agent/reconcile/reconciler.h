// Brings one volume on this node to what the store says, and writes back what it saw.
//
//   pass: load what should be -> look at what is -> plan (pure) -> apply; again from the top until
//   the plan is empty
//
// Nothing is remembered between passes that a decision would rest on. Safe to call from several
// threads for different volumes.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/arbiter/arbiter.h"
#include "agent/drbd/drbd.h"
#include "agent/filesystem/filesystem.h"
#include "agent/mounting/mount_calls.h"
#include "agent/pods/pods.h"
#include "agent/reconcile/jobs.h"
#include "agent/reconcile/links.h"
#include "agent/reconcile/peers.h"
#include "agent/reconcile/plan.h"
#include "agent/reconcile/pools.h"
#include "agent/reconcile/resync_turns.h"
#include "agent/store/typed_store.h"

namespace plexvol::reconcile {

struct Tools {
  store::TypedStore& store;
  arbiter::Arbiter& arbiter;
  const std::map<std::string, std::unique_ptr<Pool>>& pools;  // by name
  drbd::Drbd& drbd;
  filesystem::Filesystem& filesystem;
  mounting::MountCalls& calls;
  const pods::Pods& pods;
  Jobs& jobs;
  Links links;
};

struct ReconcilerSettings {
  std::string here;
  std::string session;  // of this agent's life
  // How long a peer whose agent is alive may take to connect before the copy here is promoted
  // without it. Too short costs only a needless resync, never data: the arbiter decides.
  std::chrono::seconds connect_time{15};
  // How long I/O may be frozen before this agent itself ends the freeze: the kernel asks at once,
  // and goes on by itself when it is answered.
  std::chrono::seconds question_time{5};
  // How long a node may be away before its copies are made anew on others.
  std::chrono::seconds rebuild_time{600};
  ResyncLimits resync_limits;
  std::function<void()> space_changed = [] {};  // called after a logical volume was made or removed
  std::function<void()> resyncs_changed = [] {};  // called when one begins or ends
  std::function<void()> unmounted = [] {};        // called after a left-over mount was taken down
  // Called when the store is older than what this node acted on of the volume; must not block.
  std::function<void(const std::string& volume)> contradicted = [](const std::string&) {};
  // What is to be said of the volume beside what this agent does for it; "" when nothing.
  std::function<std::string(const std::string& volume)> missing_mounts = [](const std::string&) {
    return std::string();
  };
};

enum class Outcome {
  Settled,   // nothing left to do until something changes
  TrySoon,   // waits for another node or for the kernel
  TryLater,  // failed, or waits for a person
};

class Reconciler {
 public:
  Reconciler(Tools tools, ReconcilerSettings settings);

  // One pass. Never throws: what went wrong is in the volume's status, and told to the mount calls
  // that wait for it. What was read of the store ahead of the pass may say only that nothing is to
  // be done: else all is read again.
  Outcome reconcile(const std::string& volume, const store::VolumeView* ahead = nullptr);

  // The part of a pass that must not wait for a free worker: it decides who goes on without the
  // other, and runs DRBD's tools only. Settled: the rest has to be looked at by a whole pass still.
  Outcome arbitrate(const std::string& volume);

  // Which nodes are to be emptied, or never come back. Answers the volumes that have a copy here
  // and one on a node of which a person thinks differently than before.
  std::vector<std::string> look_at_cordons();
  // The volumes whose other copy is on a node that is to be emptied.
  std::vector<std::string> list_drained();
  // All that this node may have to do something about.
  std::set<std::string> list_concerned();
  // Holds back the resyncs that are too many at a time.
  void take_turns();

  // The volumes whose mounts are not those that their last pass saw.
  std::vector<std::string> list_changed_mounts();
  // The mount points of each volume as its last pass saw them; not of one whose I/O was frozen,
  // where unmounting would hang.
  std::map<std::string, std::vector<std::string>> list_mounts();

 private:
  struct Picture {  // of the last pass, to tell whether a mount event concerns a volume
    mounts::DeviceNumber device;
    std::vector<std::string> mounts;
    bool is_frozen = false;
  };
  class Pass;

  using Clock = std::chrono::steady_clock;
  bool connect_time_over(const Wanted& wanted, const Seen& seen);
  bool apart_time_over(const Wanted& wanted, const Seen& seen);
  bool unable_time_over(const std::string& volume, bool is_unable);
  bool question_time_over(const Wanted& wanted, const Seen& seen);
  bool has_lasted(std::map<std::string, Clock::time_point>& since, const std::string& volume,
                  bool is_so, Clock::duration long_enough);
  void remember_mounts(const std::string& volume, const Seen& seen);
  // A volume that is none of this node's any more.
  void forget(const std::string& volume);
  void remember_peer(const std::string& volume, const std::string& node);
  std::vector<std::string> list_with_peer_in(const std::set<std::string>& nodes);

  Tools tools_;
  ReconcilerSettings settings_;
  Peers peers_;
  ResyncTurns resync_turns_;
  std::mutex mutex_;
  std::map<std::string, Clock::time_point> unconnected_since_;
  std::map<std::string, Clock::time_point> apart_since_;
  std::map<std::string, Clock::time_point> unable_since_;
  std::map<std::string, Clock::time_point> frozen_since_;
  std::map<std::string, Picture> pictures_;
  std::map<std::string, std::string> peer_of_;  // by volume, of those with a copy here
};

}  // namespace plexvol::reconcile
