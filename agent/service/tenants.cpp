// Whose pods may mount a volume: inline volumes of one name in two namespaces are one volume.
#include "agent/api/names.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/service/service.h"

namespace plexvol::service {

namespace {

namespace keys = store::keys;
using Tenancy = std::optional<store::Versioned<model::Tenant>>;

// Of this very volume; 0: the key is not there.
bool has_tenant(const Tenancy& found, const model::Volume& volume) {
  return found && found->value.volume_id == volume.id;
}

bool may_mount(const model::Tenant& owner, const std::string& tenant) {
  return tenant.empty() || owner.name == api::kAnyNamespace || owner.name == tenant;
}

[[noreturn]] void refuse(const model::Volume& volume, const model::Tenant& owner,
                         const std::string& tenant) {
  throw Error(
      ErrorCode::Conflict,
      "volume " + volume.name + " belongs to namespace " + owner.name +
          " and is not mounted for a pod of namespace " + tenant +
          "; if another volume of the same name is meant, rename one; to give the volume to that "
          "namespace (for example after its claim was bound again): `plexvol volume set " +
          volume.name + " --namespace " + tenant + "`, or --any-namespace");
}

}  // namespace

void Service::check_tenant(const model::Volume& volume, const std::string& tenant) {
  const Tenancy found = store_.find_tenant(volume.name);
  if (has_tenant(found, volume) && !may_mount(found->value, tenant)) {
    refuse(volume, found->value, tenant);
  }
}

void Service::claim_for_tenant(const model::Volume& volume, const std::string& tenant) {
  constexpr int kMaxRaces = 20;
  for (int race = 0; race < kMaxRaces; ++race) {
    const Tenancy found = store_.find_tenant(volume.name);
    if (has_tenant(found, volume)) {
      if (may_mount(found->value, tenant)) return;
      refuse(volume, found->value, tenant);
    }
    if (tenant.empty()) return;
    // With the volume's own revision: nothing is left behind of one that is deleted meanwhile.
    const auto latest = store_.find_volume(volume.name);
    if (!latest || latest->value.id != volume.id) break;
    const model::Tenant owner{.volume_id = volume.id, .name = tenant};
    if (store_.commit(store::Change()
                          .require(keys::volume(volume.name), latest->revision)
                          .require(keys::tenant(volume.name), found ? found->revision : 0)
                          .put(keys::tenant(volume.name), model::to_json(owner)))) {
      log::info("volume " + volume.name + " belongs to namespace " + tenant + " from now on");
      return;
    }
  }
  throw Error(ErrorCode::Unavailable,
              "volume " + volume.name + ": changed concurrently; try again");
}

api::VolumeInfo Service::set_volume(const api::SetVolumeRequest& request) {
  if (request.tenant != api::kAnyNamespace) check_namespace(request.tenant);
  const model::Volume volume = get_volume(request.name);
  const auto latest = store_.find_volume(request.name);
  const model::Tenant owner{.volume_id = volume.id, .name = request.tenant};
  if (!latest || latest->value.id != volume.id ||
      !store_.commit(store::Change()
                         .require(keys::volume(volume.name), latest->revision)
                         .put(keys::tenant(volume.name), model::to_json(owner)))) {
    throw Error(ErrorCode::Unavailable,
                "volume " + volume.name + ": changed concurrently; nothing was set, try again");
  }
  return show_volume(volume.name);
}

}  // namespace plexvol::service
