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

// In a large cluster most volumes have nothing to do with most nodes, so no pair of the two is looked
// at that has neither a copy nor a label.
std::map<std::string, LabelChanges> find_label_changes(
    const std::map<std::string, api::VolumeInfo>& volumes,
    const std::map<std::string, kube::Words>& labels_by_node) {
  std::map<std::string, LabelChanges> changes;
  for (const auto& [name, volume] : volumes) {
    if (is_unreadable(volume)) continue;
    const std::string label = volume_label(name);
    for (const std::string& node : nodes_to_label(volume)) {
      const auto labels = labels_by_node.find(node);
      if (labels == labels_by_node.end()) continue;
      const auto found = labels->second.find(label);
      const bool has = found != labels->second.end() && found->second == kCopyLabelValue;
      if (!has) changes[node][label] = kCopyLabelValue;
    }
  }
  for (const auto& [node, labels] : labels_by_node) {
    for (const auto& [label, value] : labels) {
      std::string name;
      if (!is_volume_label(label, name)) continue;
      const auto volume = volumes.find(name);
      const bool stays = volume != volumes.end() && (is_unreadable(volume->second) ||
                                                     nodes_to_label(volume->second).contains(node));
      if (!stays) changes[node][label] = {};
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
