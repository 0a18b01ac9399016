// Which pods of a dead node are to be deleted, so that they start elsewhere. Pure.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "agent/kube/objects.h"

namespace plexvol::controller {

// "on": also a pod that would be left alone; "off": never. Of a pod, plexvol.io/failover.
inline constexpr const char* kFailoverAnnotation = "plexvol.io/failover";

struct PodChoice {
  std::set<std::string> volumes;  // of ours, that it uses
  std::string left_alone;         // why it is not deleted; "": it is
};

// Looks up a claim of the pod's namespace. nullopt: there is none, or it has no PV. "": its PV is
// none of ours; else the volume's name.
using VolumeOfClaim = std::function<std::optional<std::string>(const std::string& claim)>;

// `moved`: the volumes that the dead node no longer holds. nullopt: a pod without one of them, or one
// that has ended, is nothing to us.
std::optional<PodChoice> choose(const kube::Pod& pod, const VolumeOfClaim& volume_of,
                                const std::set<std::string>& moved);

}  // namespace plexvol::controller
