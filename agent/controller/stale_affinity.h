// Tells of PVs whose affinity keeps pods from where the copies are now.
//
// A PV that asks for its volume's label follows the copies (copy_labels.h). One that a user wrote by
// hand may name nodes, and its affinity cannot be changed when a copy has moved to another.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "agent/api/protocol.h"
#include "agent/controller/known_volumes.h"
#include "agent/kube/cache.h"
#include "agent/kube/events.h"
#include "agent/kube/objects.h"

namespace plexvol::controller {

// By the name of a node of the cluster: its label kubernetes.io/hostname, "" without one.
using HostNames = std::map<std::string, std::string>;

// What is wrong with the PV's affinity, if it is: it names a node that has no copy, and does not name
// a node that has a usable one. nullopt as well for one that does not name nodes in each of its terms,
// or asks for the label of a volume. Pure.
std::optional<std::string> find_stale_affinity(const kube::PersistentVolume& owner,
                                               const api::VolumeInfo& volume,
                                               const HostNames& nodes);

class StaleAffinity {
 public:
  struct Parts {
    kube::Events& events;
    const kube::Cache<kube::PersistentVolume>& volumes;
    const kube::Cache<kube::Node>& nodes;
  };
  explicit StaleAffinity(Parts parts) : parts_(parts) {}

  // By one thread, whenever a volume, a PV or a node may have changed. The PVs and the nodes must
  // have been listed.
  void look(const KnownVolumes::ByName& volumes);
  // Not all was told at once: to be looked at again after kAgain.
  bool is_waiting() const { return is_waiting_; }
  static constexpr std::chrono::seconds kAgain{5};
  static constexpr int kMostPerLook = 100;  // a queue of events is for others, too

 private:
  HostNames list_host_names() const;

  const Parts parts_;
  std::map<std::string, std::string> told_;  // by the uid of a PV
  bool is_waiting_ = false;
};

}  // namespace plexvol::controller
