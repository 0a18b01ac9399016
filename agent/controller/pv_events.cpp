#include "agent/controller/pv_events.h"

namespace plexvol::controller {

void tell_pv(kube::Events& events, const kube::PersistentVolume& volume, kube::EventType type,
             const std::string& reason, const std::string& message) {
  events.tell(kube::to_reference(volume), type, reason, message);
  if (volume.phase != "Bound" || volume.claim.name.empty() || volume.claim.uid.empty()) return;
  kube::Reference claim = volume.claim;
  claim.api_version = "v1";
  claim.kind = kube::Claim::kKind;
  claim.resource_version.clear();  // of the time when the two were bound
  events.tell(claim, type, reason, message);
}

}  // namespace plexvol::controller
