#include "agent/controller/copy_labels.h"

#include <nlohmann/json.hpp>

#include "agent/api/names.h"

namespace plexvol::controller {

namespace {

// Nothing but its name is known, since its record cannot be read.
bool is_unreadable(const api::VolumeInfo& volume) {
  return volume.state == "Unreadable";
}

}  // namespace

std::set<std::string> nodes_to_label(const api::VolumeInfo& volume) {
  std::set<std::string> nodes;
  if (volume.deleting) return nodes;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    const bool is_usable = replica.made && replica.current;
    if (is_usable || !replica.mounts.empty()) nodes.insert(replica.node);
  }
  if (!volume.attached_to.empty()) nodes.insert(volume.attached_to);
  return nodes;
}

std::map<std::string, LabelChanges> find_label_changes(
    const std::map<std::string, api::VolumeInfo>& volumes,
    const std::map<std::string, kube::Words>& labels_by_node) {
  std::map<std::string, LabelChanges> changes;
  for (const auto& [node, labels] : labels_by_node) {
    for (const auto& [label, value] : labels) {
      std::string volume;
      if (is_volume_label(label, volume) && !volumes.contains(volume)) changes[node][label] = {};
    }
  }
  for (const auto& [name, volume] : volumes) {
    if (is_unreadable(volume)) continue;
    const std::string label = volume_label(name);
    const std::set<std::string> wanted = nodes_to_label(volume);
    for (const auto& [node, labels] : labels_by_node) {
      const auto found = labels.find(label);
      const bool has = found != labels.end() && found->second == kCopyLabelValue;
      if (wanted.contains(node) && !has) changes[node][label] = kCopyLabelValue;
      if (!wanted.contains(node) && found != labels.end()) changes[node][label] = {};
    }
  }
  return changes;
}

std::string to_patch(const LabelChanges& changes) {
  nlohmann::json labels = nlohmann::json::object();
  for (const auto& [label, value] : changes) {
    labels[label] = value ? nlohmann::json(*value) : nlohmann::json(nullptr);
  }
  return nlohmann::json{{"metadata", {{"labels", labels}}}}.dump();
}

}  // namespace plexvol::controller
