#include "agent/controller/node_labels.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/controller/paths.h"
#include "agent/log.h"

namespace plexvol::controller {

namespace {

constexpr std::chrono::milliseconds kBetweenPatches(1'000);
constexpr std::chrono::milliseconds kAfterFailure(5'000);
constexpr std::chrono::minutes kLongestRest(10);

}  // namespace

NodeLabels::NodeLabels(Parts parts)
    : parts_(std::move(parts)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

NodeLabels::~NodeLabels() = default;

bool NodeLabels::has_labels(const api::VolumeInfo& volume) const {
  const std::string label = volume_label(volume.name);
  const std::set<std::string> wanted = nodes_to_label(volume);
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
    const auto node = parts_.nodes.find(name);
    if (!node) return true;  // no node of this cluster, so no pod can be there either
    const auto found = node->meta.labels.find(label);
    return found != node->meta.labels.end() && found->second == kCopyLabelValue;
  });
}

bool NodeLabels::is_labelled(const api::VolumeInfo& volume) {
  const std::lock_guard lock(mutex_);
  if (has_labels(volume)) return true;
  awaited_.insert(volume.name);
  parts_.bell.ring();
  return false;
}

std::map<std::string, kube::Words> NodeLabels::labels_by_node() const {
  std::map<std::string, kube::Words> labels;
  for (const auto& node : parts_.nodes.all()) labels.emplace(node->meta.name, node->meta.labels);
  return labels;
}

base::Clock::time_point NodeLabels::patch_nodes() {
  base::Clock::time_point again = base::Clock::now() + kLongestRest;
  if (!parts_.volumes.is_listed() || !parts_.nodes.is_listed()) return again;
  for (const auto& [node, changes] : find_label_changes(parts_.volumes.all(), labels_by_node())) {
    base::Clock::time_point& not_before = patched_at_[node];
    if (base::Clock::now() < not_before) {
      again = std::min(again, not_before);
      continue;
    }
    not_before = base::Clock::now() + kBetweenPatches;
    try {
      parts_.client.patch(paths::node(node), kube::PatchKind::Merge, to_patch(changes));
      log::info("labelled a node with the volumes that it has a copy of",
                {{"node", node}, {"labels", std::to_string(changes.size())}});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::NotFound) continue;  // it has left the cluster
      log::warn(fmt::format("cannot change the labels of node {}: {}", node, error.what()));
      not_before = base::Clock::now() + kAfterFailure;
    }
    again = std::min(again, not_before);  // what the server has made of it comes by the cache
  }
  return again;
}

void NodeLabels::tell_labelled() {
  std::vector<std::string> labelled;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(awaited_, [&](const std::string& name) {
      const auto volume = parts_.volumes.find(name);
      if (volume && !has_labels(*volume)) return false;
      labelled.push_back(name);
      return true;
    });
  }
  for (const std::string& volume : labelled) parts_.on_labelled(volume);
}

void NodeLabels::run(const std::stop_token& stop) {
  base::Clock::time_point again = base::Clock::now();
  while (parts_.bell.wait(again, stop)) {
    again = patch_nodes();
    tell_labelled();
  }
}

}  // namespace plexvol::controller
