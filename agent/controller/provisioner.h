// Makes a volume and its PV for each claim of a class of ours.
#pragma once

#include <string>

#include "agent/controller/claims.h"
#include "agent/controller/known_volumes.h"
#include "agent/controller/node_agent.h"
#include "agent/controller/node_labels.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/events.h"

namespace plexvol::controller {

// Remembers no step: each look compares the claim with what there is, so a crash between any two
// steps only means that the next leader goes on. The volume's name is the claim's uid, so it is never
// made twice.
class Provisioner {
 public:
  struct Parts {
    kube::Client& client;
    kube::Events& events;
    const NodeAgent& agent;
    KnownVolumes& known;
    NodeLabels& labels;
    const kube::Cache<kube::Claim>& claims;
    const kube::Cache<kube::PersistentVolume>& volumes;
    const kube::Cache<kube::StorageClass>& classes;
    bool server_knows_affinity;  // of PVs: Kubernetes 1.10
  };
  explicit Provisioner(Parts parts) : parts_(parts) {}

  // Nothing to do is Done. Waits: something else has to happen first, and the claim is looked at when
  // it has. Failed: told in an event, to be tried again later.
  enum class Outcome { Done, Waits, Failed };
  Outcome look_at(const std::string& claim_key);

 private:
  Outcome provision(const kube::Claim& claim, const kube::StorageClass& storage_class);
  bool is_still_wanted(const kube::Claim& claim);
  void store_volume(const kube::Claim& claim, const kube::StorageClass& storage_class,
                    const api::VolumeInfo& volume);
  // The scheduler chooses again.
  void reject_node(const kube::Claim& claim, const std::string& node, const std::string& why);
  void tell_failure(const kube::Claim& claim, const std::string& why);

  const Parts parts_;
};

}  // namespace plexvol::controller
