#include "agent/volumes/create.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/api/random.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/model/codec.h"
#include "agent/store/sets.h"
#include "agent/store/slots.h"
#include "agent/volumes/await_made.h"
#include "agent/volumes/describe.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

using store::Change;
namespace keys = store::keys;

namespace {

// With a first node, OutOfSpace says that another one would do: that is for the placement alone to
// say, since a volume that is recorded keeps its nodes.
template <class Step>
auto with_any_first_node(const NewVolume& wanted, const Step& step) {
  try {
    return step();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::OutOfSpace || wanted.first_node.empty()) throw;
    throw Error(ErrorCode::Unavailable, error.what());
  }
}

}  // namespace

// False: the store changed in between.
bool Creation::store_new(model::Volume volume, bool mirrored, const std::string& tenant,
                         const Placements& placements) {
  Change change;
  change.require(keys::volume(volume.name), 0);
  for (const auto& [node, revision] : placements) {
    change.require(keys::placement(node), revision).put(keys::placement(node), volume.id);
  }
  if (tenant.empty()) {
    change.remove(keys::tenant(volume.name));
  } else {
    const model::Tenant owner{.volume_id = volume.id, .name = tenant};
    change.put(keys::tenant(volume.name), model::to_json(owner));
  }
  if (mirrored) store::give_slot(store_, settings_.first_port, volume, change);
  model::Current current = store::next_set({});
  for (const std::string& node : volume.nodes()) current.nodes.insert(node);
  change.put(keys::volume(volume.name), model::to_json(volume)).wake(volume);
  store::put_set(volume.name, current, change);
  return store_.commit(change);
}

// Two volumes that are made at the same moment are never promised the same room: each requires that
// nothing was placed on its nodes since it read what is promised there; otherwise it reads again.
placement::Placement Creation::place(const NewVolume& wanted, Placements& placements) {
  std::map<std::string, std::int64_t> seen;
  auto placed = placement::place_within_promises(
      {.size_bytes = wanted.size_bytes,
       .replicas = wanted.replicas,
       .mirrored = wanted.replicas > 1,
       .drbd = "",
       .pool = wanted.pool,
       .nodes = wanted.nodes,
       .asking = wanted.asking,
       .barred = placement::bar_cordoned(store_.list_cordons()),
       .promised = {},
       .volume = wanted.name,
       .first_node = wanted.first_node},
      store_.list_nodes(), store_.list_alive_nodes(), [&](const std::string& node) {
        const auto last = store_.raw().get(keys::placement(node));
        seen[node] = last ? last->revision : 0;
        return placement::promises_of(node, store_.list_volumes_on(node));
      });
  for (const std::string& node : placed.nodes) placements[node] = seen.at(node);
  return placed;
}

void Creation::check_mkfs(const std::string& fs_type, const std::string& mkfs_options,
                          std::uint64_t size_bytes) const {
  filesystem::parse_mkfs_options(fs_type, mkfs_options);
  if (settings_.try_mkfs && !mkfs_options.empty()) {
    settings_.try_mkfs(fs_type, mkfs_options, size_bytes);
  }
}

// What was asked for, and made before: by the same call, or by one like it.
bool Creation::is_same(const NewVolume& wanted, const std::string& fs_type,
                       const model::Volume& old) {
  return old.size_bytes == wanted.size_bytes && old.wanted_copies() == wanted.replicas &&
         old.fs_type == fs_type && (wanted.pool.empty() || old.pool == wanted.pool) &&
         (wanted.mkfs_options.empty() || old.mkfs_options == wanted.mkfs_options) &&
         std::all_of(wanted.nodes.begin(), wanted.nodes.end(),
                     [&](const std::string& node) { return old.find_replica(node) != nullptr; });
}

model::Volume Creation::create(const NewVolume& wanted) {
  check(wanted);
  const std::string fs_type = check_fs_type(wanted.fs_type);
  check_mkfs(fs_type, wanted.mkfs_options, wanted.size_bytes);
  const auto turn = turns_.take();
  constexpr int kMaxRaces = 20;
  for (int race = 0; race < kMaxRaces; ++race) {
    if (const auto found = store_.find_volume(wanted.name)) {
      const model::Volume& old = found->value;
      if (!old.deleting && is_same(wanted, fs_type, old)) return old;
      throw Error(old.deleting ? ErrorCode::Unavailable : ErrorCode::AlreadyExists,
                  old.deleting ? fmt::format("volume {} is still being deleted", wanted.name)
                               : fmt::format("volume {} already exists with other properties: size "
                                             "{}, {} replica(s), {} in pool {}",
                                             wanted.name, size_to_text(old.size_bytes),
                                             old.wanted_copies(), old.fs_type, old.pool));
    }
    Placements placements;
    const auto placed = place(wanted, placements);
    model::Volume volume{.name = wanted.name,
                         .id = random_uuid(),
                         .size_bytes = wanted.size_bytes,
                         .pool = placed.pool,
                         .replicas = {},
                         .former = {},
                         .fs_type = fs_type,
                         .mkfs_options = wanted.mkfs_options,
                         .minor = 0,
                         .port = 0,
                         .secret = random_hex(32),
                         // DRBD keeps the lowest bit for itself ("was primary").
                         .current_uuid = random_hex(15) + "8",
                         .format = model::Format::Never,
                         .deleting = false,
                         .copies_asked = 0,
                         .leaving = {},
                         .arriving = {},
                         .drops_mirror = false,
                         .filesystem_grows = false};
    for (const std::string& node : placed.nodes) volume.add_replica({.node = node});
    const bool is_stored = with_any_first_node(
        wanted, [&] { return store_new(volume, wanted.replicas > 1, wanted.tenant, placements); });
    if (is_stored) return get_volume(store_, wanted.name);
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: the store keeps changing; try again", wanted.name));
}

api::VolumeInfo Creation::create_and_await(const NewVolume& wanted, const Call& call) {
  check(wanted);
  await_announced(store_, settings_.here, call);
  const model::Volume volume = create(wanted);
  call.is_about(volume.name);
  if (!wanted.tenant.empty() && show_volume(store_, volume.name).tenant != wanted.tenant) {
    throw Error(ErrorCode::AlreadyExists,
                fmt::format("volume {} already exists, and does not belong to namespace {}; see "
                            "`plexvol volume set`",
                            volume.name, wanted.tenant));
  }
  with_any_first_node(wanted, [&] { await_made(store_, volume, call); });
  return await_first_connection(store_, volume, call);
}

model::Volume Creation::find_or_create(const Wanted& wanted, const std::string& node) {
  const auto found = store_.find_volume(wanted.volume);
  if (found && !found->value.deleting) {
    check_same_volume(wanted, found->value);
    return found->value;
  }
  if (found) {
    throw Error(ErrorCode::Unavailable, fmt::format("volume {} is being deleted", wanted.volume));
  }
  if (!wanted.size_bytes) {
    throw Error(ErrorCode::NotFound,
                fmt::format("no volume named {}, and no size to create it with; run `plexvol "
                            "volume create`, or add the option size",
                            wanted.volume));
  }
  return create({.name = wanted.volume,
                 .size_bytes = *wanted.size_bytes,
                 .replicas = wanted.replicas.value_or(1),
                 .nodes = {},
                 .pool = wanted.pool,
                 .fs_type = wanted.fs_type,
                 .mkfs_options = wanted.mkfs_options,
                 .asking = node,
                 .tenant = wanted.tenant});
}

model::Volume Creation::take_up(const Wanted& wanted, const model::Volume& volume) {
  constexpr int kMaxRaces = 20;
  const std::string key = keys::volume(volume.name);
  for (int race = 0; race < kMaxRaces; ++race) {
    const auto found = store_.find_volume(volume.name);
    if (!found || found->value.id != volume.id) {
      throw Error(ErrorCode::Unavailable,
                  fmt::format("volume {} was deleted meanwhile", volume.name));
    }
    model::Volume next = found->value;
    if (!take_on(wanted, next)) return next;
    if (next.mkfs_options != found->value.mkfs_options) {
      check_mkfs(next.fs_type, next.mkfs_options, next.size_bytes);
    }
    const auto change =
        store::Change().require(key, found->revision).put(key, model::to_json(next)).wake(next);
    if (store_.commit(change)) return next;
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: changed concurrently; try again", volume.name));
}

}  // namespace plexvol::volumes
