// What kubectl shows of a volume: the status of its PlexvolVolume. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/api/protocol.h"

namespace plexvol::view {

// What Kubernetes knows of it.
struct VolumeOwner {
  std::string persistent_volume;  // its name; "": none
  std::string claim_namespace;    // of the claim that has the PV; "" with claim_name: none
  std::string claim_name;
};

// JSON text. `before`: the status that the object has, from which the times of conditions that have
// not changed are taken; "" for none. `now`: seconds since 1970. Nothing in it changes while the
// volume does not, but for whole percents of a resync.
std::string volume_status(const api::VolumeInfo& volume, const VolumeOwner& owner,
                          const std::string& before, std::int64_t now);

}  // namespace plexvol::view
