#include "agent/controller/cluster_view.h"

#include <fmt/core.h>

#include <ctime>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/base/deadline.h"
#include "agent/base/pause.h"
#include "agent/controller/volume_of.h"
#include "agent/log.h"
#include "agent/view/names.h"

namespace plexvol::controller {

namespace {

using nlohmann::json;

constexpr std::chrono::seconds kUntilShown(5);
constexpr std::chrono::milliseconds kBetweenLooks(100);

std::map<std::string, view::VolumeOwner> find_owners(
    const kube::Cache<kube::PersistentVolume>& volumes) {
  std::map<std::string, view::VolumeOwner> owners;
  for (const auto& volume : volumes.all()) {
    const std::string name = volume_of(*volume);
    if (name.empty()) continue;
    owners[name] = {.persistent_volume = volume->meta.name,
                    .claim_namespace = volume->claim.ns,
                    .claim_name = volume->claim.name};
  }
  return owners;
}

std::map<std::string, std::vector<std::string>> find_volumes_by_node(
    const KnownVolumes::ByName& volumes) {
  std::map<std::string, std::vector<std::string>> by_node;
  for (const auto& [name, volume] : volumes) {
    std::set<std::string> nodes(volume.former.begin(), volume.former.end());
    for (const api::ReplicaInfo& replica : volume.replicas) nodes.insert(replica.node);
    for (const std::string& node : nodes) by_node[node].push_back(name);
  }
  return by_node;
}

// A merge patch of what is still as it was when it was decided on: else Conflict.
json patch_over(const kube::CustomObject& object) {
  return {{"metadata", {{"resourceVersion", object.meta.resource_version}}}};
}

// That makes `status` of `before`: members that are to go are null.
json status_patch(const std::string& before, const std::string& status) {
  json patch = json::parse(status);
  const json known = json::parse(before);
  for (const auto& [key, value] : known.items()) {
    if (!patch.contains(key)) patch[key] = nullptr;
  }
  return patch;
}

ClusterView::Objects::Object to_object(const std::string& text) {
  return std::make_shared<const kube::CustomObject>(kube::from_json<kube::CustomObject>(text));
}

// The object as the server has made it.
ClusterView::Objects::Object create(kube::Client& client, const std::string& path, const char* kind,
                                    const std::string& name, const json& spec) {
  const json object = {{"apiVersion", view::kApiVersion},
                       {"kind", kind},
                       {"metadata", {{"name", name}}},
                       {"spec", spec}};
  return to_object(client.create(path, object.dump()));
}

}  // namespace

template <class Call>
void ClusterView::attempt(const std::string& what, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    // Made, changed or gone since: the cache will say so, which brings the next look.
    if (error.code() == ErrorCode::AlreadyExists || error.code() == ErrorCode::Conflict ||
        error.code() == ErrorCode::NotFound) {
      return;
    }
    log::warn(fmt::format("cannot show {} as a custom resource: {}", what, error.what()));
    is_complete_ = false;
  }
}

bool ClusterView::look() {
  is_complete_ = true;
  if (parts_.volume_objects.is_listed() && parts_.known.is_listed()) look_at_volumes();
  if (parts_.node_objects.is_listed() && parts_.known.is_listed()) {
    attempt("the nodes", [&] { look_at_nodes(); });
  }
  return is_complete_;
}

void ClusterView::look_at_volumes() {
  const auto owners = find_owners(parts_.volumes);
  std::set<std::string> wanted;
  for (const auto& [name, volume] : parts_.known.all()) {
    const auto owner = owners.find(name);
    wanted.insert(view::object_name(name));
    attempt("volume " + name, [&, &volume = volume] {
      look_at_volume(volume, owner == owners.end() ? view::VolumeOwner() : owner->second);
    });
  }
  remove_others(parts_.volume_objects, view::kVolumesPath, wanted);
}

void ClusterView::look_at_volume(const api::VolumeInfo& volume, const view::VolumeOwner& owner) {
  const std::string name = view::object_name(volume.name);
  Object object = parts_.volume_objects.find(name);
  if (!object)
    object = create(parts_.client, view::kVolumesPath, view::kVolumeKind, name, json::object());
  const std::string path = fmt::format("{}/{}", view::kVolumesPath, name);
  const std::string before = status_of(path, object);
  std::string status = view::volume_status(volume, owner, before, std::time(nullptr));
  const view::VolumeWish wish = view::find_volume_wish(object->spec, before);
  if (!wish.is_empty() && volume.state != "Unreadable") {
    if (!is_latest(path, object)) return;
    status = answer_wish(volume, wish, status, before);
  }
  write_status(path, object, before, status);
}

// The status as it is to be written after that.
std::string ClusterView::answer_wish(const api::VolumeInfo& volume, const view::VolumeWish& wish,
                                     const std::string& status, const std::string& before) {
  view::Answer answer{.done = true, .message = ""};
  try {
    if (wish.copies != 0) parts_.set_copies(volume.name, wish.copies);
    if (!wish.size.empty()) parts_.ask_size(volume.name, wish.size);
    log::info(
        "changed a volume as the spec of its custom resource asks",
        {{"volume", volume.name}, {"size", wish.size}, {"copies", std::to_string(wish.copies)}});
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Unavailable) throw;
    answer = {.done = false, .message = error.what()};
  }
  return view::with_answer(status, wish, answer, before, std::time(nullptr));
}

void ClusterView::look_at_nodes() {
  const std::vector<api::NodeInfo> nodes = parts_.list_nodes();
  auto volumes = find_volumes_by_node(parts_.known.all());
  std::set<std::string> wanted;
  for (const api::NodeInfo& node : nodes) {
    wanted.insert(node.name);
    attempt("node " + node.name,
            [&] { look_at_node({.node = node, .volumes = std::move(volumes[node.name])}); });
  }
  remove_others(parts_.node_objects, view::kNodesPath, wanted);
}

void ClusterView::look_at_node(const view::NodeFacts& facts) {
  const std::string& name = facts.node.name;
  const std::string path = fmt::format("{}/{}", view::kNodesPath, name);
  Object object = parts_.node_objects.find(name);
  if (!object) {
    object = create(parts_.client, view::kNodesPath, view::kNodeKind, name,
                    {{"placement", view::placement_to_begin_with(facts.node)}});
  }
  const std::string before = status_of(path, object);
  const view::Wish wish = view::find_wish(object->spec, before, facts.node);
  std::string asked = view::placement_in_spec(object->spec);
  view::NodeFacts shown = facts;
  std::optional<view::Answer> answer;
  switch (wish.kind) {
    case view::Wish::Kind::None:
      break;
    case view::Wish::Kind::FollowUp:
      // First: a status that comes before it would make the spec look like a new request.
      object = set_placement(path, object, wish.placement);
      asked = wish.placement;
      break;
    case view::Wish::Kind::Change:
      if (!is_latest(path, object)) return;
      try {
        change_node(shown.node, wish.placement);
        answer = view::Answer{.done = true, .message = ""};
      } catch (const Error& error) {
        if (error.code() == ErrorCode::Unavailable) throw;
        answer = view::Answer{.done = false, .message = error.what()};
      }
      break;
  }
  write_status(path, object, before,
               view::node_status(shown, asked, answer, before, std::time(nullptr)));
}

// By the API server's own word: a cache that lags behind may show a request that was seen to long ago, and
// taken back since. What it lacks comes, and brings the next look.
bool ClusterView::is_latest(const std::string& path, const Object& object) {
  const auto latest = kube::from_json<kube::CustomObject>(parts_.client.get(path));
  return latest.meta.resource_version == object->meta.resource_version;
}

// Returns when the agent's list shows it: an older one would look as if somebody had asked for what was
// there before.
void ClusterView::change_node(api::NodeInfo& node, const std::string& placement) {
  for (const std::string& action : view::actions_for(placement, node)) {
    parts_.change_node(node.name, action);
  }
  log::info("changed a node as the spec of its custom resource asks",
            {{"node", node.name}, {"placement", placement}});
  const base::Deadline deadline = base::Clock::now() + kUntilShown;
  while (base::Clock::now() < deadline) {
    for (const api::NodeInfo& listed : parts_.list_nodes()) {
      if (listed.name != node.name || view::placement_of(listed) != placement) continue;
      node = listed;
      return;
    }
    base::pause(kBetweenLooks, kube::CallStop::in_force());
  }
  throw Error(ErrorCode::Unavailable,
              fmt::format("node {} is not shown as {} yet", node.name, placement));
}

ClusterView::Object ClusterView::set_placement(const std::string& path, const Object& object,
                                               const std::string& placement) {
  json patch = patch_over(*object);
  patch["spec"] = {{"placement", placement}};
  return to_object(parts_.client.patch(path, kube::PatchKind::Merge, patch.dump()));
}

void ClusterView::remove_others(const Objects& objects, const std::string& path,
                                const std::set<std::string>& wanted) {
  for (const Object& object : objects.all()) {
    const std::string& name = object->meta.name;
    if (wanted.contains(name)) continue;
    const std::string gone = fmt::format("{}/{}", path, name);
    attempt("that " + name + " is gone",
            [&] { parts_.client.remove(gone, {.uid = object->meta.uid, .resource_version = ""}); });
    written_.erase(gone);
  }
}

std::string ClusterView::status_of(const std::string& path, const Object& object) {
  const auto written = written_.find(path);
  if (written == written_.end()) return object->status;
  if (written->second.over == object->meta.resource_version) return written->second.status;
  written_.erase(written);  // the cache has it, or something newer
  return object->status;
}

void ClusterView::write_status(const std::string& path, const Object& object,
                               const std::string& before, const std::string& status) {
  if (before == status) return;
  json patch = patch_over(*object);
  patch["status"] = status_patch(before, status);
  parts_.client.patch(parts_.server_has_status_path ? path + "/status" : path,
                      kube::PatchKind::Merge, patch.dump());
  written_[path] = {.over = object->meta.resource_version, .status = status};
}

}  // namespace plexvol::controller
