#include "agent/volumes/describe.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "agent/api/text.h"
#include "agent/model/model.h"
#include "agent/volumes/copies.h"
#include "agent/volumes/lacks.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

namespace {

// All that the store knows, read in a handful of lists rather than a handful of gets for each
// volume.
struct Knowledge {
  std::set<std::string> alive;
  std::map<std::string, model::Current> current;
  std::map<std::string, model::Attachment> attachments;
  std::map<std::string, model::Status> status;  // by "<node>/<volume>"
  std::map<std::string, model::Tenant> tenants;
};

Knowledge read_knowledge(store::TypedStore& store) {
  return {.alive = store.list_alive_nodes(),
          .current = store.list_current().records,
          .attachments = store.list_attachments().records,
          .status = store.list_status().records,
          .tenants = store.list_tenants().records};
}

Knowledge read_knowledge_of(store::TypedStore& store, const model::Volume& volume) {
  Knowledge known{.alive = store.list_alive_nodes(),
                  .current = {},
                  .attachments = {},
                  .status = {},
                  .tenants = {}};
  if (const auto tenant = store.find_tenant(volume.name)) {
    known.tenants[volume.name] = tenant->value;
  }
  if (const auto current = store.find_current(volume.name)) {
    known.current[volume.name] = current->value;
  }
  if (const auto attachment = store.find_attachment(volume.name)) {
    known.attachments[volume.name] = attachment->value;
  }
  for (const std::string& node : volume.nodes()) {
    if (const auto status = store.find_status(node, volume.name)) {
      known.status[node + "/" + volume.name] = *status;
    }
  }
  return known;
}

api::ReplicaInfo describe_replica(const model::Volume& volume, const std::string& node,
                                  const Knowledge& known) {
  api::ReplicaInfo info{.node = node,
                        .alive = known.alive.contains(node),
                        .pool = volume.pool,
                        .device = {},
                        .role = {},
                        .disk_state = {},
                        .connection = {},
                        .synced_percent = 100,
                        .out_of_sync_bytes = 0,
                        .current = false,
                        .left_at = 0,
                        .mounts = {},
                        .error = {}};
  if (const auto current = known.current.find(volume.name); current != known.current.end()) {
    info.current = current->second.nodes.contains(node);
    const auto left = current->second.left.find(node);
    if (left != current->second.left.end()) info.left_at = left->second;
  }
  const auto status = known.status.find(node + "/" + volume.name);
  if (status == known.status.end()) return info;
  info.device = status->second.device;
  info.error = status->second.error;
  info.synced_percent = status->second.synced_percent;
  info.out_of_sync_bytes = status->second.out_of_sync_bytes;
  if (!info.alive) {
    // What else it last said of itself says nothing about now.
    info.error =
        "its agent is not running" + (info.error.empty() ? "" : "; its last error: " + info.error);
    return info;
  }
  info.role = status->second.role;
  info.disk_state = status->second.disk_state;
  info.connection = status->second.connection;
  info.mounts = status->second.mounts;
  return info;
}

std::string describe_state(const model::Volume& volume,
                           const std::vector<api::ReplicaInfo>& replicas) {
  const auto any = [&](auto test) { return std::any_of(replicas.begin(), replicas.end(), test); };
  const auto all = [&](auto test) { return std::all_of(replicas.begin(), replicas.end(), test); };
  if (volume.deleting) return "Deleting";
  if (std::any_of(
          volume.replicas.begin(), volume.replicas.end(),
          [](const model::Replica& replica) { return !replica.made && !replica.filled_by_peer; })) {
    return "Creating";
  }
  if (!any([](const auto& replica) { return replica.alive && replica.current; })) {
    return "Unavailable";
  }
  if (any([](const auto& replica) {
        return replica.disk_state == "Inconsistent" && replica.connection == "Connected";
      })) {
    return "Syncing";
  }
  const unsigned wanted = volume.mirror_is_to_go() ? 1 : volume.wanted_copies();
  const bool whole = replicas.size() == wanted && all([&](const api::ReplicaInfo& replica) {
                       return replica.alive && replica.current && replica.error.empty() &&
                              (wanted == 1 || (replica.connection == "Connected" &&
                                               replica.disk_state == "UpToDate"));
                     });
  return whole ? "Ready" : "Degraded";
}

api::VolumeInfo describe_volume(const model::Volume& volume, const Knowledge& known) {
  api::VolumeInfo info{
      .name = volume.name,
      .size_bytes = volume.size_bytes,
      .pool = volume.pool,
      .fs_type = volume.fs_type,
      .state = {},
      .attached_to = {},
      .deleting = volume.deleting,
      .drbd_minor = volume.minor,
      .epoch = 0,
      .forced = {},
      .replicas = {},
      .former = {volume.former.begin(), volume.former.end()},
      .copies = volume.mirror_is_to_go() ? 1 : volume.wanted_copies(),
      .copies_asked = volume.copies_asked,
      .tenant = {},
      .formatted = volume.format != model::Format::Never,
      .filesystem_grows = volume.filesystem_grows && volume.format != model::Format::Never};
  if (const auto tenant = known.tenants.find(volume.name);
      tenant != known.tenants.end() && tenant->second.volume_id == volume.id) {
    info.tenant = tenant->second.name;
  }
  if (const auto held = known.attachments.find(volume.name); held != known.attachments.end()) {
    info.attached_to = held->second.node;
  }
  if (const auto current = known.current.find(volume.name); current != known.current.end()) {
    info.epoch = current->second.epoch;
    if (const auto& forced = current->second.last_forced) {
      info.forced =
          fmt::format("{} by {} at {}", forced->node, forced->by, time_to_text(forced->at));
    }
  }
  info.pending = describe_pending(volume, info.attached_to);
  for (const std::string& node : volume.nodes()) {
    info.replicas.push_back(describe_replica(volume, node, known));
  }
  attribute_lacks(volume, info.replicas);
  info.state = describe_state(volume, info.replicas);
  return info;
}

}  // namespace

std::vector<api::VolumeInfo> list_volumes(store::TypedStore& store) {
  const Knowledge known = read_knowledge(store);
  const auto listing = store.read_volumes();
  std::vector<api::VolumeInfo> volumes;
  for (const auto& [name, volume] : listing.records) {
    volumes.push_back(describe_volume(volume, known));
  }
  // Not left out: whoever misses it would make it again. What is wrong with it, show tells.
  for (const store::Unreadable& unreadable : listing.unreadable) {
    api::VolumeInfo info;
    info.name = unreadable.name;
    info.state = "Unreadable";
    volumes.push_back(std::move(info));
  }
  return volumes;
}

api::VolumeInfo show_volume(store::TypedStore& store, const std::string& name) {
  const model::Volume volume = get_volume(store, name);
  return describe_volume(volume, read_knowledge_of(store, volume));
}

}  // namespace plexvol::volumes
