#include "agent/controller/failover.h"

#include <fmt/core.h>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/base/text.h"
#include "agent/controller/copy_labels.h"
#include "agent/controller/in_use.h"
#include "agent/controller/paths.h"
#include "agent/controller/volume_of.h"
#include "agent/log.h"

namespace plexvol::controller {

namespace {

std::string to_text(const std::set<std::string>& names) {
  return base::join({names.begin(), names.end()});
}

}  // namespace

bool Failover::look() {
  try {
    return look_at_nodes();
  } catch (const Error& error) {
    log::warn(fmt::format("cannot look for dead nodes: {}", error.what()));
    return false;
  }
}

bool Failover::look_at_nodes() {
  const std::vector<api::NodeInfo> nodes = parts_.agent.list_nodes();
  const bool is_trouble = long_dead_.is_trouble_with(nodes, base::Clock::now());
  if (is_trouble && !is_trouble_told_) {
    log::warn(
        "at least half of the nodes have lost their leases: no pods are moved, since the "
        "store may be in trouble rather than the nodes");
  }
  is_trouble_told_ = is_trouble;
  const auto dead = find_dead_nodes(parts_.known.all(), nodes, long_dead_.names());
  std::erase_if(seen_to_, [&](const auto& node) { return !dead.contains(node.first); });
  bool is_complete = true;
  for (const auto& [node, of_node] : dead) {
    const log::LogScope scope("node", node);
    try {
      if (of_node.held.empty() && is_seen_to(node, of_node.moved)) continue;
      take_from(node, of_node.held);
      const std::set<std::string> moved = confirm_moved(node, of_node, nodes);
      if (moved.empty() || is_seen_to(node, moved)) continue;
      remove_labels(node, moved);
      move_pods(node, moved);
      seen_to_[node] = {.moved = moved, .at = base::Clock::now()};
    } catch (const Error& error) {
      log::warn(fmt::format("cannot move the pods of a dead node: {}", error.what()));
      is_complete = false;
    }
  }
  return is_complete;
}

// What was listed may be older than the node's return.
std::set<std::string> Failover::confirm_moved(const std::string& node, const DeadNode& listed,
                                              const std::vector<api::NodeInfo>& nodes) {
  std::map<std::string, api::VolumeInfo> volumes;
  for (const auto& names : {listed.held, listed.moved}) {
    for (const std::string& name : names) {
      const auto volume = parts_.agent.find_volume(name);
      if (!volume) continue;
      volumes.emplace(name, *volume);
    }
  }
  const auto dead = find_dead_nodes(volumes, nodes, long_dead_.names());
  const auto found = dead.find(node);
  if (found == dead.end()) return {};
  // Only what this look has moved: each word of a change brings the next look.
  for (const std::string& name : found->second.moved) {
    if (listed.held.contains(name)) parts_.known.learn(volumes.at(name));
  }
  return found->second.moved;
}

bool Failover::is_seen_to(const std::string& node, const std::set<std::string>& moved) const {
  const auto seen = seen_to_.find(node);
  return seen != seen_to_.end() && seen->second.moved == moved &&
         base::Clock::now() - seen->second.at < kAgain;
}

void Failover::take_from(const std::string& node, const std::set<std::string>& volumes) {
  std::set<std::string> taken;
  for (const std::string& volume : volumes) {
    try {
      parts_.agent.fail_over(volume, node);
      taken.insert(volume);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::Unavailable) throw;
      // The agent knows more than the list that this rests on.
      log::info(fmt::format("left with a dead node: {}", error.what()));
    }
  }
  if (taken.empty()) return;
  const std::string what =
      fmt::format("node {} is down: volumes {} go on without it", node, to_text(taken));
  log::warn(what);
  if (const auto object = parts_.nodes.find(node)) {
    parts_.events.tell(kube::to_reference(*object), kube::EventType::Warning, "VolumesMoved", what);
  }
}

// The scheduler must not choose the node again.
void Failover::remove_labels(const std::string& node, const std::set<std::string>& volumes) {
  const auto object = parts_.nodes.find(node);
  if (!object) return;
  LabelChanges changes;
  for (const std::string& volume : volumes) {
    if (object->meta.labels.contains(volume_label(volume))) changes[volume_label(volume)] = {};
  }
  if (changes.empty()) return;
  parts_.client.patch(paths::node(node), kube::PatchKind::Merge, to_patch(changes));
}

std::optional<std::string> Failover::find_volume(const std::string& ns,
                                                 const std::string& name) const {
  const auto claim = parts_.claims.find(ns + '/' + name);
  if (!claim || claim->volume_name.empty()) return std::nullopt;
  const auto volume = parts_.volumes.find(claim->volume_name);
  if (!volume) return std::nullopt;
  return volume_of(*volume);
}

void Failover::move_pods(const std::string& node, const std::set<std::string>& moved) {
  const kube::Listed listed = parts_.client.list(paths::pods_of(node));
  std::vector<kube::Pod> pods;
  for (const std::string& text : listed.objects) pods.push_back(kube::from_json<kube::Pod>(text));
  try {
    let_detach(node, moved, pods);
  } catch (const Error& error) {
    // It costs six minutes where Kubernetes attaches, and nothing elsewhere.
    log::warn(fmt::format("volumes of a dead node stay listed as in use: {}", error.what()));
  }
  for (const kube::Pod& pod : pods) {
    const auto choice = choose(
        pod, [&](const std::string& claim) { return find_volume(pod.meta.ns, claim); }, moved);
    if (choice) delete_pod(pod, *choice);
  }
}

// Those of pods that stay are included: then a person who deletes such a pod need not wait.
void Failover::let_detach(const std::string& node, const std::set<std::string>& moved,
                          const std::vector<kube::Pod>& pods) {
  const auto object = parts_.nodes.find(node);
  if (!object || object->volumes_in_use.empty()) return;
  std::set<std::string> names;
  for (const auto& volume : parts_.volumes.all()) {
    if (moved.contains(volume_of(*volume))) names.insert(volume->meta.name);
  }
  for (const kube::Pod& pod : pods) {
    for (const kube::InlineVolume& volume : pod.inline_volumes) {
      if (moved.contains(volume_of(volume))) names.insert(volume.name);
    }
  }
  const std::string patch = to_patch_without(object->volumes_in_use, names);
  if (patch.empty()) return;
  parts_.client.patch(paths::status_of_node(node), kube::PatchKind::Json, patch);
  log::info("Kubernetes can detach the volumes of a dead node");
}

void Failover::delete_pod(const kube::Pod& pod, const PodChoice& choice) {
  const std::string volumes = to_text(choice.volumes);
  if (!choice.left_alone.empty()) {
    parts_.events.tell(
        kube::to_reference(pod), kube::EventType::Warning, "NotFailedOver",
        fmt::format("node {} is down and volumes {} can be used elsewhere, but this pod is not "
                    "deleted: {}; delete it (--force --grace-period=0), or annotate such pods with "
                    "{}=on",
                    pod.node, volumes, choice.left_alone, kFailoverAnnotation));
    return;
  }
  // Before it is gone: kubectl shows the events of a pod by its uid.
  parts_.events.tell(kube::to_reference(pod), kube::EventType::Warning, "FailedOver",
                     fmt::format("node {} is down: deleted, so that it starts where volumes {} can "
                                 "be used",
                                 pod.node, volumes));
  try {
    parts_.client.remove(paths::pod(pod.meta.ns, pod.meta.name),
                         {.uid = pod.meta.uid, .resource_version = ""}, 0);
  } catch (const Error& error) {
    // Gone, or another one by now.
    if (error.code() != ErrorCode::NotFound && error.code() != ErrorCode::Conflict) throw;
  }
  for (const std::string& name : pod.claims) {
    const auto claim = parts_.claims.find(pod.meta.ns + '/' + name);
    if (!claim) continue;
    parts_.events.tell(kube::to_reference(*claim), kube::EventType::Warning, "FailedOver",
                       fmt::format("node {} is down: the volume goes on without it, and pod {} was "
                                   "deleted to start elsewhere",
                                   pod.node, pod.meta.name));
  }
  log::warn(fmt::format("deleted pod {} of a dead node", pod.meta.key()));
}

}  // namespace plexvol::controller
