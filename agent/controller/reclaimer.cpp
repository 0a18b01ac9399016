#include "agent/controller/reclaimer.h"

#include <fmt/core.h>

#include "agent/api/error.h"
#include "agent/base/text.h"
#include "agent/controller/claims.h"
#include "agent/controller/paths.h"
#include "agent/controller/storage_class.h"
#include "agent/log.h"

namespace plexvol::controller {

bool is_to_be_removed(const kube::PersistentVolume& volume) {
  return volume.meta.annotation("pv.kubernetes.io/provisioned-by") == kProvisioner &&
         volume.phase == "Released" && volume.reclaim_policy == "Delete" &&
         volume.meta.deleted_at.empty();
}

// Kubernetes 1.12 can call a PV released whose claim it has not heard of yet, so the claim itself is
// asked for, and not the cache.
bool Reclaimer::is_claimed(const kube::PersistentVolume& volume) {
  if (volume.claim.name.empty()) return false;
  try {
    const auto claim = kube::from_json<kube::Claim>(
        parts_.client.get(paths::claim(volume.claim.ns, volume.claim.name)));
    return claim.meta.uid == volume.claim.uid;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return false;
    throw;
  }
}

bool Reclaimer::look_at(const std::string& name) {
  const auto cached = parts_.volumes.find(name);
  if (!cached || !is_to_be_removed(*cached)) return true;
  const log::LogScope scope("volume", name);
  try {
    const auto volume =
        kube::from_json<kube::PersistentVolume>(parts_.client.get(paths::volume(name)));
    if (volume.meta.uid != cached->meta.uid || !is_to_be_removed(volume)) return true;
    if (is_claimed(volume)) return true;
    // Only what was made for this PV, whatever people have written into it since.
    const auto options = volume.flex_options.find("volume");
    if (claim_uid(name).empty() || options == volume.flex_options.end() ||
        options->second != name) {
      throw Error(ErrorCode::Conflict,
                  fmt::format("PersistentVolume {} does not name the volume that was made for it; "
                              "delete both by hand (plexvol volume delete)",
                              name));
    }
    const api::DeleteVolumeReply reply = parts_.agent.remove(name);
    parts_.client.remove(paths::volume(name), {.uid = volume.meta.uid, .resource_version = ""});
    log::info("removed a volume and its PersistentVolume",
              {{"waits for", base::join(reply.waiting_for)}});
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return true;
    parts_.events.tell(kube::to_reference(*cached), kube::EventType::Warning, "VolumeFailedDelete",
                       error.what());
    log::warn(fmt::format("cannot remove a volume: {}", error.what()));
    return false;
  }
  return true;
}

}  // namespace plexvol::controller
