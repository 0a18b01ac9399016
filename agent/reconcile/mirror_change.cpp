#include "agent/reconcile/mirror_change.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/random.h"
#include "agent/drbd/metadata.h"
#include "agent/filesystem/mount_table.h"
#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/placement/placement.h"
#include "agent/reconcile/choose_node.h"
#include "agent/reconcile/observe.h"
#include "agent/reconcile/stack.h"
#include "agent/store/sets.h"
#include "agent/store/slots.h"

namespace plexvol::reconcile {

namespace {

using store::Change;
namespace keys = store::keys;

[[noreturn]] void throw_changed(const std::string& volume) {
  throw Error(ErrorCode::Unavailable,
              fmt::format("volume {}: changed concurrently; retrying", volume));
}

// As it is now, when it still is what was planned for.
store::Versioned<model::Volume> find_planned(const MirrorChange& change) {
  const model::Volume& planned = change.wanted.volume;
  auto found = change.tools.store.find_volume(planned.name);
  const bool is_same =
      found && found->value.id == planned.id && !found->value.deleting &&
      found->value.nodes() == planned.nodes() && found->value.former == planned.former &&
      found->value.minor == planned.minor && found->value.copies_asked == planned.copies_asked &&
      found->value.leaving == planned.leaving;
  if (!is_same) throw_changed(planned.name);
  return *std::move(found);
}

// Nothing uses the volume, and nothing has happened to its set. That counts as changed from then on:
// so a store that is restored from a backup is seen to be older than this.
Change require_unused(const MirrorChange& change, const store::Versioned<model::Volume>& volume) {
  const std::string& name = volume.value.name;
  const auto current = change.tools.store.find_current(name);
  if (!current || current->revision != change.wanted.current_revision) throw_changed(name);
  Change next;
  next.require(keys::volume(name), volume.revision)
      .require(keys::attachment(name), 0)
      .require(keys::current(name), current->revision);
  store::put_set(name, store::next_set(current->value), next);
  return next;
}

model::Replica& own_replica(model::Volume& volume, const std::string& here) {
  return *std::ranges::find(volume.replicas, here, &model::Replica::node);
}

void check_can_mirror(const MirrorChange& change) {
  const std::string& here = change.wanted.here;
  const auto node = change.tools.store.find_node(here);
  std::string why = node ? node->mirror_error : "its agent has not announced it yet";
  if (why.empty()) why = placement::why_no_mirror(node->drbd_version);
  if (why.empty() && node->address.empty()) why = "it has no address for replication";
  for (const model::Node& other : change.tools.store.list_nodes()) {
    // It would drop what the record says of the change.
    if (!why.empty() || !other.kernel.empty()) continue;
    why = fmt::format("the agent on {} has version {}, which does not know how; upgrade it",
                      other.name, other.version);
  }
  if (why.empty()) return;
  throw Error(ErrorCode::OutOfSpace,
              fmt::format("cannot create a second replica: {} cannot mirror the one it has: {}",
                          here, why));
}

// By a person, in a container: DRBD could not open the device.
void check_not_mounted(const MirrorChange& change) {
  const auto& device = change.seen.device;
  if (!device || !filesystem::is_mounted_anywhere(device->major, device->minor)) return;
  throw Error(ErrorCode::Conflict,
              fmt::format("cannot create a second replica: {} is mounted on {}, though the volume "
                          "is attached to no node; unmount it",
                          device->path, change.wanted.here));
}

// Before it is wanted: without room for it the volume could not be used any more. What is left of an
// attempt before, or of a mirror before, is worth nothing, and may be too small by now.
void make_metadata_device(const MirrorChange& change) {
  const model::Volume& volume = change.wanted.volume;
  const std::string name = metadata_name(volume);
  Pool& pool = get_pool(change.tools, volume);
  const auto found = pool.find({name}, volume.id);
  if (const auto there = found.find(name); there != found.end()) {
    if (!there->second.ours) {
      throw Error(ErrorCode::Conflict,
                  fmt::format("cannot create a second replica: {} on {} was not made for this "
                              "volume; Plexvol does not touch it: remove or rename it",
                              there->second.path, change.wanted.here));
    }
    pool.remove({name});
  }
  pool.create(name, drbd::metadata_size_bytes(change.seen.data_bytes), volume.id);
}

}  // namespace

void gain_mirror(const MirrorChange& change) {
  const std::string& here = change.wanted.here;
  store::TypedStore& store = change.tools.store;
  check_can_mirror(change);
  check_not_mounted(change);
  const auto volume = find_planned(change);
  const Chosen chosen = choose_node(volume.value, here, volume.value.arriving, true, store);
  make_metadata_device(change);

  model::Volume next = volume.value;
  // Of a mirror that it had before nothing must ever connect to this one.
  next.current_uuid = random_hex(15) + "8";
  model::Replica& own = own_replica(next, here);
  own.filled_by_peer = false;
  own.gains_metadata = true;
  next.add_replica({.node = chosen.node, .filled_by_peer = true});
  next.arriving.clear();
  if (next.copies_asked < 2) next.leaving = here;
  next.copies_asked = next.leaving.empty() ? 0 : 1;
  Change commit = require_unused(change, volume);
  store::give_slot(store, change.first_port, next, commit);
  commit.require(keys::placement(chosen.node), chosen.placement)
      .put(keys::placement(chosen.node), next.id)
      .put(keys::volume(next.name), model::to_json(next))
      .wake(next);
  if (!store.commit(commit)) throw_changed(next.name);
  log::info(fmt::format("volume {}: {} makes a second replica", next.name, chosen.node));
}

void drop_mirror(const MirrorChange& change) {
  const auto volume = find_planned(change);
  model::Volume next = volume.value;
  next.drops_mirror = true;
  next.copies_asked = 0;
  next.arriving.clear();
  model::Replica& own = own_replica(next, change.wanted.here);
  own.filled_by_peer = false;
  own.gains_metadata = false;
  if (!change.tools.store.commit(require_unused(change, volume)
                                     .put(keys::volume(next.name), model::to_json(next))
                                     .wake(next))) {
    throw_changed(next.name);
  }
}

void remove_mirror(const Wanted& wanted, const Tools& tools) {
  const model::Volume& volume = wanted.volume;
  const auto resource = tools.drbd.find_resource(volume.name);
  // By the secret alone: the minor may have been given back.
  const bool is_own =
      resource && (tools.drbd.has_config_of(volume.name, volume.secret) ||
                   tools.drbd.is_own(volume.name, *resource, volume.minor, volume.secret));
  if (is_own && resource->role == "Primary") {
    throw Error(ErrorCode::Conflict,
                fmt::format("volume {}: its DRBD resource on {} is still a primary, though the "
                            "volume is no longer mirrored; see `drbdsetup status {}`",
                            volume.name, wanted.here, volume.name));
  }
  if (is_own) tools.drbd.down(volume.name);
  remove_config(volume, tools);
  const std::string metadata = metadata_name(volume);
  Pool& pool = get_pool(tools, volume);
  const auto found = pool.find({metadata}, volume.id);
  const auto there = found.find(metadata);
  if (there != found.end() && there->second.ours) pool.remove({metadata});

  const auto latest = tools.store.find_volume(volume.name);
  if (!latest || latest->value.id != volume.id) throw_changed(volume.name);
  // Only the node with the copy says that nothing is left of it.
  const bool is_left = latest->value.drops_mirror && !has_layer(latest->value, Layer::Drbd) &&
                       latest->value.find_replica(wanted.here) != nullptr;
  if (!is_left) return;
  model::Volume next = latest->value;
  Change change;
  if (const auto slot = next.slot()) change.remove(keys::slot(*slot));
  next.minor = 0;
  next.port = 0;
  next.drops_mirror = false;
  change.require(keys::volume(next.name), latest->revision)
      .put(keys::volume(next.name), model::to_json(next))
      .wake(next);
  if (!tools.store.commit(change)) throw_changed(next.name);
}

void remove_config(const model::Volume& volume, const Tools& tools) {
  if (tools.drbd.has_config(volume.name) && !tools.drbd.has_config_of(volume.name, volume.secret)) {
    return;
  }
  tools.drbd.remove_config(volume.name);
}

}  // namespace plexvol::reconcile
