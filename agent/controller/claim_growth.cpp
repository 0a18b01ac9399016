#include "agent/controller/claim_growth.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/controller/paths.h"
#include "agent/controller/volume_of.h"
#include "agent/log.h"
#include "agent/manifest/persistent_volume.h"

namespace plexvol::controller {

bool needs_claim_growth(unsigned minor_version) {
  return minor_version == 11 || minor_version == 12;
}

bool wants_to_grow(const kube::Claim& claim) {
  return !claim.capacity.empty() &&
         kube::parse_quantity(claim.requested) > kube::parse_quantity(claim.capacity);
}

// The PV before the claim: the claim's status is what ends it.
void ClaimGrowth::grow(const kube::Claim& claim, const kube::PersistentVolume& volume,
                       const std::string& name) {
  const api::VolumeInfo grown = parts_.grow(name, kube::parse_quantity(claim.requested));
  const nlohmann::json capacity{{"storage", manifest::to_quantity(grown.size_bytes)}};
  const auto patch = [&](const std::string& path, const kube::Meta& meta, const char* part) {
    const nlohmann::json change{{"metadata", {{"uid", meta.uid}}},
                                {part, {{"capacity", capacity}}}};
    parts_.client.patch(path, kube::PatchKind::Merge, change.dump());
  };
  patch(paths::volume(volume.meta.name), volume.meta, "spec");
  patch(paths::claim(claim.meta.ns, claim.meta.name) + "/status", claim.meta, "status");
  parts_.events.tell(
      kube::to_reference(claim), kube::EventType::Normal, "VolumeResizeSuccessful",
      fmt::format("volume {} has {}{}", name, size_to_text(grown.size_bytes),
                  grown.filesystem_grows ? ", its file system grows when it is mounted" : ""));
}

bool ClaimGrowth::look_at(const std::string& claim_key) {
  const auto claim = parts_.claims.find(claim_key);
  if (!claim || claim->phase != "Bound") return true;
  const auto volume = parts_.volumes.find(claim->volume_name);
  if (!volume || volume->claim.uid != claim->meta.uid) return true;
  const std::string name = volume_of(*volume);
  if (name.empty()) return true;
  const log::LogScope scope("volume", name);
  try {
    if (wants_to_grow(*claim)) grow(*claim, *volume, name);
    return true;
  } catch (const Error& error) {
    parts_.events.tell(kube::to_reference(*claim), kube::EventType::Warning, "VolumeResizeFailed",
                       error.what());
    log::warn(fmt::format("cannot grow a volume: {}", error.what()));
    return false;
  }
}

}  // namespace plexvol::controller
