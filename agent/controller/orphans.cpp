#include "agent/controller/orphans.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/controller/claims.h"
#include "agent/controller/paths.h"
#include "agent/log.h"

namespace plexvol::controller {

namespace {

bool may_be_orphan(const api::VolumeInfo& volume) {
  return !claim_uid(volume.name).empty() && !volume.deleting && volume.attached_to.empty();
}

}  // namespace

void Orphans::look(const std::map<std::string, api::VolumeInfo>& volumes) {
  std::set<std::string> claimed;
  for (const auto& claim : parts_.claims.all()) claimed.insert(volume_name(*claim));
  for (const auto& [name, volume] : volumes) {
    if (!may_be_orphan(volume) || claimed.contains(name) || parts_.volumes.find(name)) continue;
    const log::LogScope scope("volume", name);
    try {
      look_at(name);
    } catch (const Error& error) {
      log::warn(fmt::format("cannot look for the owner of a volume: {}", error.what()));
    }
  }
  std::erase_if(told_, [&](const std::string& name) { return !volumes.contains(name); });
}

void Orphans::look_at(const std::string& name) {
  if (told_.contains(name)) return;
  // The list may be older than what removed it a moment ago. The agent is asked first, since all
  // claims are listed to find an owner, and once more, since that takes a while.
  auto volume = parts_.agent.find_volume(name);
  if (!volume || !may_be_orphan(*volume) || has_owner(name)) return;
  volume = parts_.agent.find_volume(name);
  if (!volume || !may_be_orphan(*volume)) return;
  if (volume->formatted) {
    told_.insert(name);
    log::warn(
        fmt::format("volume {} was made for a claim and has neither claim nor "
                    "PersistentVolume; it may hold data, so it stays: use it with the output "
                    "of `plexvol pv {}`, or remove it with `plexvol volume delete {}`",
                    name, name, name));
    return;
  }
  parts_.agent.remove(name);
  log::info("removed a volume that was never used, and whose claim is gone");
}

// By the API server's own word, since a cache may not have heard of it yet.
bool Orphans::has_owner(const std::string& volume) {
  try {
    parts_.client.get(paths::volume(volume));
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::NotFound) throw;
  }
  const kube::Listed claims = parts_.client.list(paths::kClaims);
  return std::any_of(claims.objects.begin(), claims.objects.end(), [&](const std::string& text) {
    return volume_name(kube::from_json<kube::Claim>(text)) == volume;
  });
}

}  // namespace plexvol::controller
