// Volumes that were made for a claim, and have no PV.
//
// A controller that dies between the two steps of provisioning leaves one when its claim is deleted
// before the next leader sees it. One that was never formatted holds nothing, and is removed. One
// that was has data of somebody who deleted the PV by hand: it is told of, and stays.
#pragma once

#include <map>
#include <set>
#include <string>

#include "agent/api/protocol.h"
#include "agent/controller/node_agent.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"

namespace plexvol::controller {

class Orphans {
 public:
  struct Parts {
    kube::Client& client;
    const NodeAgent& agent;
    const kube::Cache<kube::Claim>& claims;
    const kube::Cache<kube::PersistentVolume>& volumes;
  };
  explicit Orphans(Parts parts) : parts_(parts) {}

  // By one thread. The caches must have been listed.
  void look(const std::map<std::string, api::VolumeInfo>& volumes);

 private:
  void look_at(const std::string& name);
  bool has_owner(const std::string& volume);

  const Parts parts_;
  std::set<std::string> told_;
};

}  // namespace plexvol::controller
