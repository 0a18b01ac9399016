// Grows the volume of a claim that was made larger, for Kubernetes 1.11 and 1.12.
//
// Their API server admits the larger size where the class has allowVolumeExpansion, and nothing else
// of them acts on it for a FlexVolume (README.md, fact 9). Later ones ask the driver by themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "agent/api/protocol.h"
#include "agent/kube/cache.h"
#include "agent/kube/client.h"
#include "agent/kube/events.h"

namespace plexvol::controller {

// By the minor version of the server: of 1.12 it is 12.
bool needs_claim_growth(unsigned minor_version);
// Of a bound one: its status shows less than it asks for. Throws InvalidArgument for a size that is
// more than any volume can have.
bool wants_to_grow(const kube::Claim& claim);

class ClaimGrowth {
 public:
  struct Parts {
    kube::Client& client;
    kube::Events& events;
    // Waits until the volume is at least as large; see NodeAgent::grow().
    std::function<api::VolumeInfo(const std::string& volume, std::uint64_t size_bytes)> grow;
    const kube::Cache<kube::Claim>& claims;
    const kube::Cache<kube::PersistentVolume>& volumes;
  };
  explicit ClaimGrowth(Parts parts) : parts_(std::move(parts)) {}

  // False: it could not be done, which an event tells; to be tried again later.
  bool look_at(const std::string& claim_key);

 private:
  void grow(const kube::Claim& claim, const kube::PersistentVolume& volume,
            const std::string& name);

  const Parts parts_;
};

}  // namespace plexvol::controller
