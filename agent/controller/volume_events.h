// Tells of volumes on their PVs and claims, for `kubectl describe`.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/base/deadline.h"
#include "agent/controller/known_volumes.h"
#include "agent/kube/cache.h"
#include "agent/kube/events.h"

namespace plexvol::controller {

struct VolumeEvent {
  kube::EventType type = kube::EventType::Normal;
  std::string reason;
  std::string message;

  bool operator==(const VolumeEvent&) const = default;
};

// What is news, by view/volume_health.h: VolumeDegraded, VolumeUnavailable, VolumeHealthy, and VolumeError
// for what an agent could not do. `before` is what was told last; nullopt: nothing was, so only what
// is wrong now is news. None of a volume that is being created or deleted. Pure.
std::vector<VolumeEvent> compare(const std::optional<api::VolumeInfo>& before,
                                 const api::VolumeInfo& now);

// CopyMoved, when the volume is whole and its copies are on other nodes than `home`, where they were
// when it last was whole; `home` is empty: not known. Pure.
std::optional<VolumeEvent> find_move(const std::set<std::string>& home, const api::VolumeInfo& now);

// What was told of one volume. Knows no time but what it is given.
class VolumeStory {
 public:
  // Trouble that is over sooner is not told: a connection that comes back, an agent that is
  // upgraded, a copy that leaves the set for a new configuration and rejoins at once.
  static constexpr std::chrono::seconds kSettle{15};
  // Between two times that trouble is told, unless no copy can be used.
  static constexpr std::chrono::seconds kBetween{60};

  // What is to be told now.
  std::vector<VolumeEvent> learn(const api::VolumeInfo& now, base::Clock::time_point at);
  // There is trouble that is to be told if it lasts.
  bool is_waiting() const { return trouble_since_.has_value(); }

 private:
  std::optional<api::VolumeInfo> told_;
  std::set<std::string> home_;
  std::optional<base::Clock::time_point> trouble_since_;
  std::optional<base::Clock::time_point> warned_at_;
};

class VolumeEvents {
 public:
  struct Parts {
    kube::Events& events;
    const kube::Cache<kube::PersistentVolume>& volumes;
  };
  explicit VolumeEvents(Parts parts) : parts_(parts) {}

  // By one thread, whenever a volume or a PV may have changed. The PVs must have been listed. A
  // volume without a PV has nobody to be told.
  void look(const KnownVolumes::ByName& volumes, base::Clock::time_point at = base::Clock::now());
  // Something may have to be told though nothing changes: to be looked at again after kAgain.
  bool is_waiting() const { return is_waiting_; }
  static constexpr std::chrono::seconds kAgain{5};
  // A node with many volumes must not push the events of others out of the queue.
  static constexpr int kMostVolumesPerLook = 100;

 private:
  const Parts parts_;
  std::map<std::string, VolumeStory> stories_;  // by volume
  bool is_waiting_ = false;
};

}  // namespace plexvol::controller
