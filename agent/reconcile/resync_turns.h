// How many resyncs run on this node at a time: each reads or writes a whole copy, and the pods want
// the same disks.
//
// The order is that of the minor numbers, which is the same on every node. So the first of all that
// wait is never held back by anyone, and no two nodes wait for each other for ever.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/drbd/drbd.h"

namespace plexvol::reconcile {

struct Turn {
  std::string resource;
  bool runs = false;

  bool operator==(const Turn&) const = default;
};

// Pure. Only those whose turn is not as it should be.
std::vector<Turn> plan_turns(const std::map<std::string, drbd::ResourceState>& resources,
                             unsigned max_resyncs);

class ResyncTurns {
 public:
  explicit ResyncTurns(unsigned max_resyncs) : max_resyncs_(max_resyncs) {}

  // Whether a resync of this volume has begun or ended since it was told last. `is_expected`: its
  // new copy is being made.
  bool note(const std::string& volume, const std::optional<drbd::ResourceState>& resource,
            bool is_expected = false);
  // As many as may run are on their way, or more.
  bool is_full() const;
  // Looks at those that we configured, and holds back or lets go.
  void look(drbd::Drbd& drbd) const;

 private:
  unsigned max_resyncs_;
  mutable std::mutex mutex_;
  std::set<std::string> syncing_;
};

}  // namespace plexvol::reconcile
