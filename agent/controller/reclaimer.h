// Removes the volume of a PV whose claim is gone, and then the PV, where its reclaim policy says so.
#pragma once

#include <string>

#include "agent/controller/node_agent.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/events.h"

namespace plexvol::controller {

class Reclaimer {
 public:
  struct Parts {
    kube::Client& client;
    kube::Events& events;
    const NodeAgent& agent;
    const kube::Cache<kube::PersistentVolume>& volumes;
  };
  explicit Reclaimer(Parts parts) : parts_(parts) {}

  // False: it could not be removed, which an event tells; to be tried again later.
  bool look_at(const std::string& volume);

 private:
  bool is_claimed(const kube::PersistentVolume& volume);

  const Parts parts_;
};

// As far as the PV itself tells: it was made by this controller, its claim is gone, and it is to be
// deleted then.
bool is_to_be_removed(const kube::PersistentVolume& volume);

}  // namespace plexvol::controller
