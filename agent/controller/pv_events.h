// Events on a PV, and on the claim that is bound to it.
#pragma once

#include <string>

#include "agent/kube/events.h"
#include "agent/kube/objects.h"

namespace plexvol::controller {

// On the claim only while the PV is bound: one that is gone may be of a namespace that is gone, too.
void tell_pv(kube::Events& events, const kube::PersistentVolume& volume, kube::EventType type,
             const std::string& reason, const std::string& message);

}  // namespace plexvol::controller
