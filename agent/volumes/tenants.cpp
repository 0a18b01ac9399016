#include "agent/volumes/tenants.h"

#include <fmt/core.h>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

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
  throw Error(ErrorCode::Conflict,
              fmt::format("volume {0} belongs to namespace {1} and cannot be mounted for a pod of "
                          "namespace {2}; if these are two different volumes, rename one; to hand "
                          "the volume over (for example after its claim was bound again), run "
                          "`plexvol volume set {0} --namespace {2}`, or use --any-namespace",
                          volume.name, owner.name, tenant));
}

}  // namespace

void check_tenant(store::TypedStore& store, const model::Volume& volume,
                  const std::string& tenant) {
  const Tenancy found = store.find_tenant(volume.name);
  if (has_tenant(found, volume) && !may_mount(found->value, tenant)) {
    refuse(volume, found->value, tenant);
  }
}

void claim_for_tenant(store::TypedStore& store, const model::Volume& volume,
                      const std::string& tenant) {
  constexpr int kMaxRaces = 20;
  for (int race = 0; race < kMaxRaces; ++race) {
    const Tenancy found = store.find_tenant(volume.name);
    if (has_tenant(found, volume)) {
      if (may_mount(found->value, tenant)) return;
      refuse(volume, found->value, tenant);
    }
    if (tenant.empty()) return;
    // With the volume's own revision: nothing is left behind of one that is deleted meanwhile.
    const auto latest = store.find_volume(volume.name);
    if (!latest || latest->value.id != volume.id) break;
    const model::Tenant owner{.volume_id = volume.id, .name = tenant};
    if (store.commit(store::Change()
                         .require(keys::volume(volume.name), latest->revision)
                         .require(keys::tenant(volume.name), found ? found->revision : 0)
                         .put(keys::tenant(volume.name), model::to_json(owner)))) {
      log::info(fmt::format("volume {} now belongs to namespace {}", volume.name, tenant));
      return;
    }
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: changed concurrently; try again", volume.name));
}

void set_tenant(store::TypedStore& store, const std::string& name, const std::string& tenant) {
  if (tenant != api::kAnyNamespace) check_namespace(tenant);
  const model::Volume volume = get_volume(store, name);
  const auto latest = store.find_volume(name);
  const model::Tenant owner{.volume_id = volume.id, .name = tenant};
  if (!latest || latest->value.id != volume.id ||
      !store.commit(store::Change()
                        .require(keys::volume(volume.name), latest->revision)
                        .put(keys::tenant(volume.name), model::to_json(owner)))) {
    throw Error(
        ErrorCode::Unavailable,
        fmt::format("volume {}: changed concurrently; nothing was set, try again", volume.name));
  }
}

}  // namespace plexvol::volumes
