// How many resyncs run on this node at a time: each reads or writes a whole copy, and the pods want
// the same disks.
//
// The order is that of the minor numbers, which is the same on every node. So the first of all that
// wait is held back by nobody, also where both had held it back before, and no two nodes wait for
// each other for ever.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/drbd/drbd.h"

namespace plexvol::reconcile {

struct ResyncLimits {
  unsigned max = 2;  // at a time; the others wait for their turn
  // Of what is to be copied: one of less neither waits nor keeps others waiting.
  std::uint64_t short_bytes = 1ULL << 30U;
};

struct Turn {
  std::string resource;
  bool runs = false;

  bool operator==(const Turn&) const = default;
};

// Pure. Only those whose turn is not as it should be.
std::vector<Turn> plan_turns(const std::map<std::string, drbd::ResourceState>& resources,
                             const ResyncLimits& limits);

class ResyncTurns {
 public:
  explicit ResyncTurns(const ResyncLimits& limits) : limits_(limits) {}

  // Whether a resync of this volume has begun, ended, or become expected since it was told last.
  // `is_expected`: its new copy is to be filled.
  bool note(const std::string& volume, const std::optional<drbd::ResourceState>& resource,
            bool is_expected = false);
  // As many others as may run are on their way, or more.
  bool is_full(const std::string& volume) const;
  // For one that is about to be expected. False: it was full already. Nobody is told of either.
  bool reserve(const std::string& volume);
  void cancel(const std::string& volume);
  // Looks at those that we configured, and holds back or lets go.
  void look(drbd::Drbd& drbd) const;

 private:
  bool is_taken(const std::string& volume) const;

  ResyncLimits limits_;
  mutable std::mutex mutex_;
  std::map<std::string, bool> syncing_;  // false: only expected, so far
};

}  // namespace plexvol::reconcile
