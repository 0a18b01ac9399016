#include "agent/filesystem/mount_search.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/api/error.h"

namespace plexvol::filesystem {

namespace {

using mounts::DeviceNumber;
using mounts::MountEntry;
using process::MountNamespaces;

// More mounts of one volume in one namespace are not compared with the host's one by one.
constexpr std::size_t kMostCompared = 512;
constexpr std::size_t kMostNamed = 8;

std::string without_slash(const std::string& path) {
  return path == "/" ? std::string() : path;
}

// The path of a mount point within the file system that it lies on.
std::string place_in(const std::string& parent_root, const std::string& parent_point,
                     const std::string& point) {
  const std::size_t prefix = without_slash(parent_point).size();
  return without_slash(parent_root) + point.substr(std::min(prefix, point.size()));
}

}  // namespace

MountSearch::MountSearch(const MountNamespaces& spaces, DeviceNumber volume)
    : spaces_(spaces), volume_(volume) {
  devices_[volume] = {};
  for (const process::MountNamespace& space : spaces.all()) {
    views_.push_back({.space = &space, .points = {}, .use = {}});
  }
  // What stands on the volume may carry something itself.
  constexpr int kMostLevels = 8;
  for (int level = 0;; ++level) {
    look_at_mounts();
    const bool has_stacked = add_stacked();
    const bool has_loops = add_loops();
    const bool has_overlays = add_overlays();
    if (!has_stacked && !has_loops && !has_overlays) return;
    if (level == kMostLevels) is_too_much_ = true;
    if (is_too_much_) return;
  }
}

std::vector<DeviceNumber> MountSearch::devices() const {
  std::vector<DeviceNumber> all{volume_};
  for (const auto& [device, kind] : devices_) {
    if (device != volume_) all.push_back(device);
  }
  return all;
}

void MountSearch::look_at_mounts() {
  of_processes_.clear();
  for (View& view : views_) look_at(view);
}

void MountSearch::look_at(View& view) {
  view.points = {};
  view.use.reset();
  bool is_whole = true;
  auto found = find_mounted(view, is_whole);
  if (found.empty()) {
    if (spaces_.is_host(*view.space)) in_host_.clear();
    return;
  }
  if (spaces_.is_host(*view.space)) {
    in_host_ = std::move(found);
  } else if (!spaces_.is_own(*view.space)) {
    look_at_other(view, found);
    if (!is_whole && !view.use) view.use = "has it mounted many times in its own mount namespace";
  }
}

std::vector<MountSearch::Mounted> MountSearch::find_mounted(View& view, bool& is_whole) {
  std::map<unsigned, Mounted> found;
  MountNamespaces::for_each_mount(*view.space, [&](const MountEntry& entry) {
    node_mounts_.add(entry);
    if (!is_ours(entry)) return true;
    mount_ids_.insert(entry.id);
    view.points.add(entry.mount_point);
    if (found.size() >= kMostCompared && !found.contains(entry.id)) {
      is_whole = false;
      return true;
    }
    found[entry.id] = {.device = entry.device(),
                       .parent_id = entry.parent_id,
                       .root = entry.root,
                       .mount_point = entry.mount_point,
                       .parent = {}};
    return true;
  });
  std::map<unsigned, Parent> parents;
  for (const auto& [id, mounted] : found) parents[mounted.parent_id] = {};
  std::set<unsigned> known;
  if (!found.empty()) {
    MountNamespaces::for_each_mount(*view.space, [&](const MountEntry& entry) {
      const auto parent = parents.find(entry.id);
      if (parent == parents.end()) return true;
      parent->second = {.peer_group = entry.peer_group,
                        .master = entry.master,
                        .root = entry.root,
                        .mount_point = entry.mount_point};
      known.insert(entry.id);
      return true;
    });
  }
  std::vector<Mounted> all;
  for (auto& [id, mounted] : found) {
    if (known.contains(mounted.parent_id)) mounted.parent = parents[mounted.parent_id];
    all.push_back(std::move(mounted));
  }
  return all;
}

// A mount in a namespace that is not the host's is kept by each of its processes, unless it goes
// together with the host's.
void MountSearch::look_at_other(View& view, const std::vector<Mounted>& found) {
  for (const Mounted& mounted : found) {
    if (goes_with_host(mounted)) continue;
    of_processes_.insert(mounted.device);
    if (view.use) continue;
    const std::string& name = devices_.at(mounted.device).name;
    view.use = fmt::format("has {} mounted on {} in its own mount namespace",
                           name.empty() ? "it" : name, mounted.mount_point);
  }
}

// An unmount is passed on to the copies of the mount below it, at the same place in it.
bool MountSearch::goes_with_host(const Mounted& mounted) const {
  if (!mounted.parent) return false;
  const Parent& parent = *mounted.parent;
  return std::any_of(in_host_.begin(), in_host_.end(), [&](const Mounted& candidate) {
    if (candidate.device != mounted.device || candidate.root != mounted.root) return false;
    if (!candidate.parent || candidate.parent->peer_group == 0) return false;
    const Parent& below = *candidate.parent;
    return (parent.peer_group == below.peer_group || parent.master == below.peer_group) &&
           place_in(parent.root, parent.mount_point, mounted.mount_point) ==
               place_in(below.root, below.mount_point, candidate.mount_point);
  });
}

// There is no fdinfo for a directory that a process works in: the mount is the one with the longest
// mount point that leads to the path.
std::set<std::string> MountSearch::lying_on_it(
    const View& view, const std::set<std::string>& paths,
    const std::function<bool(const MountEntry&)>& counts) const {
  struct Best {
    std::size_t length = 0;
    bool is_ours = false;
  };
  std::map<std::string, Best> best;
  for (const std::string& path : paths) {
    best[path] = {};
    best[without_deleted(path)] = {};
  }
  if (best.empty()) return {};
  MountNamespaces::for_each_mount(*view.space, [&](const MountEntry& entry) {
    if (!counts(entry)) return true;
    const std::string& point = entry.mount_point;
    for (auto at = best.lower_bound(point == "/" ? "" : point); at != best.end(); ++at) {
      if (point != "/" && !at->first.starts_with(point)) break;
      // Of two at one place the later one is on top.
      if (!is_below(at->first, point) || point.size() < at->second.length) continue;
      at->second = {.length = point.size(), .is_ours = is_ours(entry)};
    }
    return true;
  });
  std::set<std::string> found;
  for (const std::string& path : paths) {
    if (best[path].is_ours || best[without_deleted(path)].is_ours) found.insert(path);
  }
  return found;
}

std::vector<std::string> MountSearch::kernel_uses() const {
  std::vector<std::string> uses;
  std::set<DeviceNumber> named;
  const auto add_use = [&](const std::string& use) {
    if (uses.size() < kMostNamed) uses.push_back(use);
  };
  for (const Mounted& mounted : in_host_) {
    if (mounted.device == volume_ || !named.insert(mounted.device).second) continue;
    add_use(
        fmt::format("has {} mounted on {}", devices_.at(mounted.device).name, mounted.mount_point));
  }
  for (const auto& [device, kind] : devices_) {
    const bool is_known = named.contains(device) || of_processes_.contains(device);
    if (kind.holds_by_itself && !is_known) add_use("has " + kind.name);
  }
  for (const auto& [device, mount_point] : doubtful_) {
    add_use(fmt::format(
        "has an overlay mounted on {} whose layers cannot be located; they may be on it",
        mount_point));
  }
  if (is_too_much_) add_use("has more devices or overlays stacked on it than can be checked");
  return uses;
}

}  // namespace plexvol::filesystem
