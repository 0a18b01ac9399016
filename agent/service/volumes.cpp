// Making, showing and deleting volumes.
#include <algorithm>
#include <chrono>
#include <map>

#include "agent/api/names.h"
#include "agent/api/random.h"
#include "agent/filesystem/filesystem.h"
#include "agent/model/codec.h"
#include "agent/placement/placement.h"
#include "agent/pods/pods.h"
#include "agent/service/service.h"
#include "agent/store/sets.h"
#include "agent/store/taken.h"

namespace plexvol::service {

using store::Change;
namespace keys = store::keys;

// False: the store changed in between.
bool Service::store_new(model::Volume volume, bool mirrored, const std::string& tenant,
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
  if (mirrored) {
    const auto next = store_.find_next_slot();
    std::set<unsigned> taken = store_.list_slots();
    taken.merge(store::list_taken_slots(store_, volume.nodes(), settings_.first_port));
    const unsigned slot = placement::choose_slot(taken, next.value);
    volume.minor = model::kFirstMinor + slot;
    volume.port = static_cast<std::uint16_t>(settings_.first_port + slot);
    change.require(keys::slot(slot), 0).require(keys::next_slot(), next.revision);
    change.put(keys::slot(slot), volume.name).put(keys::next_slot(), std::to_string(slot + 1));
  }
  model::Current current = store::next_set({});
  for (const std::string& node : volume.nodes()) current.nodes.insert(node);
  change.put(keys::volume(volume.name), model::to_json(volume)).wake(volume);
  store::put_set(volume.name, current, change);
  return store_.commit(change);
}

void Service::await_announced(const Call& call) {
  const std::string& here = settings_.here;
  Awaiter awaiter(store_.raw(), {keys::alive(here), keys::node(here)});
  const auto look = [&]() -> std::optional<bool> {
    if (store_.is_alive(here) && store_.find_node(here)) return true;
    return std::nullopt;
  };
  awaiter.until<bool>(call, look,
                      [&] { return "waiting for the agent on " + here + " to announce its node"; });
}

// Two volumes that are made at the same moment are never promised the same room: each requires that
// nothing was placed on its nodes since it looked what is promised there, and looks again if not.
placement::Placement Service::place(const NewVolume& wanted, Placements& placements) {
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
       .promised = {}},
      store_.list_nodes(), store_.list_alive_nodes(), [&](const std::string& node) {
        const auto last = store_.raw().get(keys::placement(node));
        seen[node] = last ? last->revision : 0;
        return placement::promises_of(node, store_.list_volumes_on(node));
      });
  for (const std::string& node : placed.nodes) placements[node] = seen.at(node);
  return placed;
}

void Service::check_mkfs(const std::string& fs_type, const std::string& mkfs_options,
                         std::uint64_t size_bytes) const {
  filesystem::parse_mkfs_options(fs_type, mkfs_options);
  if (settings_.try_mkfs && !mkfs_options.empty()) {
    settings_.try_mkfs(fs_type, mkfs_options, size_bytes);
  }
}

// What was asked for, and made before: by the same call, or by one like it.
bool Service::is_same(const NewVolume& wanted, const std::string& fs_type,
                      const model::Volume& old) {
  return old.size_bytes == wanted.size_bytes && old.wanted_copies() == wanted.replicas &&
         old.fs_type == fs_type && (wanted.pool.empty() || old.pool == wanted.pool) &&
         (wanted.mkfs_options.empty() || old.mkfs_options == wanted.mkfs_options) &&
         std::all_of(wanted.nodes.begin(), wanted.nodes.end(),
                     [&](const std::string& node) { return old.find_replica(node) != nullptr; });
}

model::Volume Service::create(const NewVolume& wanted) {
  check_new_volume_name(wanted.name);
  if (!wanted.tenant.empty() && wanted.tenant != api::kAnyNamespace) check_namespace(wanted.tenant);
  check_replicas(wanted.replicas);
  const std::string fs_type = check_fs_type(wanted.fs_type);
  check_fs_size(fs_type, wanted.size_bytes);
  check_mkfs(fs_type, wanted.mkfs_options, wanted.size_bytes);
  constexpr int kMaxRaces = 20;
  for (int race = 0; race < kMaxRaces; ++race) {
    if (const auto found = store_.find_volume(wanted.name)) {
      const model::Volume& old = found->value;
      if (!old.deleting && is_same(wanted, fs_type, old)) return old;
      throw Error(old.deleting ? ErrorCode::Unavailable : ErrorCode::AlreadyExists,
                  old.deleting
                      ? "volume " + wanted.name + " is still being deleted"
                      : "volume " + wanted.name + " already exists with other properties: size " +
                            size_to_text(old.size_bytes) + ", " +
                            std::to_string(old.wanted_copies()) + " replica(s), " + old.fs_type +
                            " in pool " + old.pool);
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
                         .copies_asked = 0};
    for (const std::string& node : placed.nodes) volume.add_replica({.node = node});
    if (store_new(volume, wanted.replicas > 1, wanted.tenant, placements)) {
      return get_volume(wanted.name);
    }
  }
  throw Error(ErrorCode::Unavailable,
              "the store keeps changing; try again to create volume " + wanted.name);
}

api::VolumeInfo Service::create_volume(const api::CreateVolumeRequest& request, const Call& call) {
  for (const std::string& node : request.nodes) check_node_name(node);
  if (!request.pool.empty()) check_pool_name(request.pool);
  await_announced(call);
  const model::Volume volume = create({.name = request.name,
                                       .size_bytes = parse_size_bytes(request.size),
                                       .replicas = request.replicas,
                                       .nodes = request.nodes,
                                       .pool = request.pool,
                                       .fs_type = request.fs_type,
                                       .mkfs_options = request.mkfs_options,
                                       .asking = "",
                                       .tenant = request.tenant});
  note_subject(call, volume.name);
  if (!request.tenant.empty() && show_volume(volume.name).tenant != request.tenant) {
    throw Error(ErrorCode::AlreadyExists, "volume " + volume.name +
                                              " already exists, and does not belong to namespace " +
                                              request.tenant + "; see `plexvol volume set`");
  }
  std::vector<std::string> watched{keys::volume(volume.name)};
  for (const std::string& node : volume.nodes()) watched.push_back(keys::status(node, volume.name));
  Awaiter awaiter(store_.raw(), watched);
  const auto say = [&](const std::string& node) {
    const auto status = store_.find_status(node, volume.name);
    return status ? status->error : "";
  };
  const auto made = [&]() -> std::optional<bool> {
    const auto now = store_.find_volume(volume.name);
    if (!now || now->value.id != volume.id) {
      throw Error(ErrorCode::Conflict, "volume " + volume.name + " was deleted meanwhile");
    }
    for (const model::Replica& replica : now->value.replicas) {
      if (replica.made) continue;
      const auto status = store_.find_status(replica.node, volume.name);
      if (status && !status->error.empty() && status->error_code != ErrorCode::Unavailable) {
        throw Error(status->error_code,
                    "volume " + volume.name + " is recorded, but " + replica.node +
                        " cannot create its replica: " + status->error +
                        (volume.mirrored() ? "; another node with room creates it, or " : "; ") +
                        "`plexvol volume delete " + volume.name + "` undoes it");
      }
      return std::nullopt;
    }
    return true;
  };
  awaiter.until<bool>(call, made, [&] {
    std::string text = "waiting for the replicas of volume " + volume.name + " to be created";
    for (const std::string& node : volume.nodes()) {
      const std::string said = say(node);
      if (!said.empty()) text.append("; ").append(node).append(": ").append(said);
    }
    return text;
  });
  return await_first_connection(volume, call);
}

// Copies that were made a moment ago and have not found each other yet are no fault, and should not
// look like one. What keeps them apart for longer is told by the volume itself.
api::VolumeInfo Service::await_first_connection(const model::Volume& volume, const Call& call) {
  if (!volume.mirrored()) return show_volume(volume.name);
  constexpr std::chrono::seconds kMostTime(10);
  const Call brief{
      .deadline = std::min(call.deadline, std::chrono::steady_clock::now() + kMostTime),
      .stop = call.stop};
  std::vector<std::string> watched{keys::volume(volume.name), keys::current(volume.name)};
  for (const std::string& node : volume.nodes()) watched.push_back(keys::alive(node));
  for (const std::string& node : volume.nodes()) watched.push_back(keys::status(node, volume.name));
  Awaiter awaiter(store_.raw(), watched);
  const auto settled = [&]() -> std::optional<api::VolumeInfo> {
    api::VolumeInfo shown = show_volume(volume.name);
    const bool hopeless = std::any_of(
        shown.replicas.begin(), shown.replicas.end(),
        [](const api::ReplicaInfo& replica) { return !replica.alive || !replica.error.empty(); });
    if (shown.state == "Ready" || hopeless) return shown;
    return std::nullopt;
  };
  try {
    return awaiter.until<api::VolumeInfo>(brief, settled,
                                          [] { return std::string("waiting for the replicas"); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Unavailable) throw;
    return show_volume(volume.name);
  }
}

// What the holder sees after this call, which its last status may not tell. nullopt: the attachment
// has changed.
std::optional<model::Status> Service::ask_holder(
    const model::Volume& volume, const store::Versioned<model::Attachment>& attachment,
    const Call& call) {
  const std::string& node = attachment.value.node;
  const std::string key = keys::attachment(volume.name);
  // Its new revision makes the node look again.
  if (!store_.commit(Change()
                         .require(key, attachment.revision)
                         .put(key, model::to_json(attachment.value))
                         .wake(volume))) {
    return std::nullopt;
  }
  Awaiter awaiter(store_.raw(), {key, keys::status(node, volume.name)});
  using Answer = std::optional<model::Status>;
  const auto look = [&]() -> std::optional<Answer> {
    const auto now = store_.find_attachment(volume.name);
    if (!now || now->value.node != node) return Answer{};
    auto status = store_.find_status(node, volume.name);
    if (!status || status->attachment_revision <= attachment.revision) return std::nullopt;
    return status;
  };
  return awaiter.until<Answer>(call, look, [&] {
    return "waiting for " + node + " to say where volume " + volume.name + " is mounted";
  });
}

// What a mount call attached stays attached while a mount is left of a pod that is gone: its node
// is asked to take that down, and refuses while anybody may use the volume. A mount that no kubelet
// made is somebody's, also while no process uses it.
void Service::release_for_deletion(const model::Volume& volume,
                                   const store::Versioned<model::Attachment>& attachment,
                                   const Call& call) {
  const std::string& node = attachment.value.node;
  const auto refuse = [&](const std::string& why) {
    const std::string attached = "volume " + volume.name + " is attached to " + node;
    throw Error(ErrorCode::Conflict, attached + why);
  };
  if (attachment.value.holder == model::Holder::Attach) {
    refuse(" and cannot be deleted; detach it first");
  }
  if (is_gone(node)) {
    refuse(", whose agent is down, so it may be in use there; start that agent");
  }
  const auto status = ask_holder(volume, attachment, call);
  if (!status) return;
  if (!status->ready && status->mounts.empty()) {
    refuse(", which cannot tell whether it is mounted: " + status->error + "; fix that first");
  }
  for (const std::string& mount : status->mounts) {
    if (pods::uid_in_path(mount)) continue;
    std::string why = " and mounted on " + mount;
    refuse(why.append("; unmount it there: `plexvol unmount ").append(mount).append("`"));
  }
  const auto now = store_.find_attachment(volume.name);
  if (!now || now->revision != status->attachment_revision) return;  // mounted again meanwhile
  request_release(volume, *now, "volume " + volume.name + " is to be deleted", "", call);
}

api::DeleteVolumeReply Service::delete_volume(const std::string& name, const Call& call) {
  const std::string id = get_volume(name).id;
  note_subject(call, name);
  while (true) {
    const auto volume = store_.find_volume(name);
    if (!volume || volume->value.id != id || volume->value.deleting) break;
    if (const auto attachment = store_.find_attachment(name)) {
      release_for_deletion(volume->value, *attachment, call);
      continue;
    }
    model::Volume next = volume->value;
    next.deleting = true;
    if (store_.commit(Change()
                          .require(keys::volume(name), volume->revision)
                          .require(keys::attachment(name), 0)
                          .put(keys::volume(name), model::to_json(next))
                          .wake(next))) {
      break;
    }
  }
  Awaiter awaiter(store_.raw(), {keys::volume(name), keys::alive("")});
  using Nodes = std::vector<std::string>;
  const auto remaining = [&]() -> Nodes {
    const auto volume = store_.find_volume(name);
    if (!volume || volume->value.id != id) return Nodes{};
    const auto nodes = volume->value.concerned_nodes();
    return {nodes.begin(), nodes.end()};
  };
  const auto gone = [&]() -> std::optional<Nodes> {
    Nodes away = remaining();
    const auto alive = store_.list_alive_nodes();
    // This node works on it, too, though its own key may come a moment after its agent.
    const bool somebody_works = std::any_of(away.begin(), away.end(), [&](const auto& node) {
      return node == settings_.here || alive.contains(node);
    });
    if (somebody_works) return std::nullopt;
    return away;
  };
  const Nodes away = awaiter.until<Nodes>(call, gone, [&] {
    std::string text = "waiting for volume " + name + " to be deleted";
    for (const std::string& node : remaining()) {
      const auto status = store_.find_status(node, name);
      text += "; " + node +
              (status && !status->error.empty() ? ": " + status->error : " is not done yet");
    }
    return text;
  });
  return {.waiting_for = away};
}

}  // namespace plexvol::service
