#include "agent/controller/stale_affinity.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "agent/api/names.h"
#include "agent/base/text.h"
#include "agent/controller/pv_events.h"
#include "agent/controller/volume_of.h"
#include "agent/view/volume_health.h"

namespace plexvol::controller {

namespace {

using NodeNames = std::set<std::string>;

constexpr std::size_t kMostNames = 8;

// A PV may name any number of nodes.
std::string to_short_list(const NodeNames& names) {
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    if (shown.size() == kMostNames) break;
    shown.push_back(name);
  }
  std::string text = base::join(shown);
  if (names.size() > shown.size()) text += fmt::format(" and {} more", names.size() - shown.size());
  return text;
}

bool asks_for_label(const kube::PersistentVolume& owner) {
  return std::ranges::any_of(owner.affinity, [](const std::string& wanted) {
    std::string volume;
    return is_volume_label(wanted.substr(0, wanted.find('=')), volume);
  });
}

bool names_nodes(const kube::PersistentVolume& owner) {
  return !owner.affinity_hosts.empty() &&
         std::ranges::none_of(owner.affinity_hosts,
                              [](const auto& hosts) { return hosts.empty(); });
}

// A node that is not in the cluster goes by what the PV calls it.
NodeNames find_named(const kube::PersistentVolume& owner, const HostNames& nodes) {
  NodeNames hosts;
  for (const auto& term : owner.affinity_hosts) hosts.insert(term.begin(), term.end());
  NodeNames named;
  NodeNames found;
  for (const auto& [node, host] : nodes) {
    if (host.empty() || !hosts.contains(host)) continue;
    named.insert(node);
    found.insert(host);
  }
  std::ranges::set_difference(hosts, found, std::inserter(named, named.end()));
  return named;
}

std::string to_command(const kube::PersistentVolume& owner, const std::string& volume) {
  std::string command = "plexvol pv " + volume;
  if (owner.meta.name != volume) command += " --pv-name " + owner.meta.name;
  if (!owner.claim.name.empty()) {
    command += fmt::format(" --claim {}/{}", owner.claim.ns, owner.claim.name);
  }
  return command;
}

// Nobody will mount by it.
bool is_done_with(const kube::PersistentVolume& owner) {
  return !owner.meta.deleted_at.empty() || owner.phase == "Released" || owner.phase == "Failed";
}

// While one of its copies is out of the set, nothing is known to be right again.
bool is_whole(const api::VolumeInfo& volume) {
  return !view::find_whole_copies(volume).empty();
}

}  // namespace

std::optional<std::string> find_stale_affinity(const kube::PersistentVolume& owner,
                                               const api::VolumeInfo& volume,
                                               const HostNames& nodes) {
  if (asks_for_label(owner) || !names_nodes(owner) || is_done_with(owner)) return std::nullopt;
  if (view::find_health(volume).state == view::VolumeHealth::State::Unknown) return std::nullopt;
  const NodeNames named = find_named(owner, nodes);
  NodeNames copies;
  NodeNames outside;  // with copies that no pod of this cluster can use
  bool is_any_usable = false;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    if (!replica.made) continue;
    copies.insert(replica.node);
    if (named.contains(replica.node) || !nodes.contains(replica.node)) continue;
    outside.insert(replica.node);
    is_any_usable = is_any_usable || replica.current;
  }
  const bool has_left = std::ranges::any_of(named, [&](const std::string& node) {
    return std::ranges::none_of(
        volume.replicas, [&](const api::ReplicaInfo& replica) { return replica.node == node; });
  });
  if (!has_left || !is_any_usable) return std::nullopt;
  return fmt::format(
      "its affinity asks for nodes {}, but the copies are on {}: pods cannot run on {}. "
      "An affinity cannot be changed: {}replace this PersistentVolume by the output of `{}`",
      to_short_list(named), to_short_list(copies), to_short_list(outside),
      owner.reclaim_policy == "Retain" ? "" : "set its reclaim policy to Retain, then ",
      to_command(owner, volume.name));
}

HostNames StaleAffinity::list_host_names() const {
  HostNames names;
  for (const auto& node : parts_.nodes.all()) {
    const auto label = node->meta.labels.find(kube::kHostNameLabel);
    names[node->meta.name] = label == node->meta.labels.end() ? "" : label->second;
  }
  return names;
}

void StaleAffinity::look(const KnownVolumes::ByName& volumes) {
  const HostNames nodes = list_host_names();
  std::map<std::string, std::string> still_told;
  is_waiting_ = false;
  int count = 0;
  for (const auto& owner : parts_.volumes.all()) {
    const auto volume = volumes.find(volume_of(*owner));
    if (volume == volumes.end()) continue;
    const std::string& uid = owner->meta.uid;
    const auto before = told_.find(uid);
    const auto message = find_stale_affinity(*owner, volume->second, nodes);
    if (!message) {
      if (before != told_.end() && !is_whole(volume->second)) still_told.insert(*before);
      continue;
    }
    if (before != told_.end() && before->second == *message) {
      still_told.insert(*before);
    } else if (count == kMostPerLook) {
      is_waiting_ = true;
    } else {
      ++count;
      still_told[uid] = *message;
      tell_pv(parts_.events, *owner, kube::EventType::Warning, "AffinityOutOfDate", *message);
    }
  }
  told_ = std::move(still_told);
}

}  // namespace plexvol::controller
