// Brings one volume on this node to what the store says, and writes back what it saw.
//
//   pass: load what should be -> look at what is -> plan (pure) -> apply; again from the top until
//   the plan is empty
//
// Nothing is remembered between passes that a decision would rest on. Safe to call from several
// threads for different volumes.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/reconcile/pass.h"
#include "agent/reconcile/shared.h"

namespace plexvol::reconcile {

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
  std::vector<std::string> list_drained() const;
  // All that this node may have to do something about.
  std::set<std::string> list_concerned();
  // Holds back the resyncs that are too many at a time.
  void take_turns();

  // The volumes whose mounts are not those that their last pass saw.
  std::vector<std::string> list_changed_mounts() const;
  // The mount points of each volume as its last pass saw them; not of one whose I/O was frozen,
  // where unmounting would hang.
  std::map<std::string, std::vector<std::string>> list_mounts() const;

 private:
  Shared shared_;
};

}  // namespace plexvol::reconcile
