// What stands on a volume: devices over its device, loop devices over its files, overlays of its
// directories.
#include <fmt/core.h>

#include <algorithm>

#include "agent/filesystem/mount_search.h"
#include "agent/filesystem/overlay.h"

namespace plexvol::filesystem {

namespace {

using mounts::DeviceNumber;
using mounts::MountEntry;
using process::MountNamespaces;

constexpr std::size_t kMostDevices = 256;
constexpr std::size_t kMostLayers = 4096;

}  // namespace

bool MountSearch::add(DeviceNumber device, Kind kind) {
  if (devices_.contains(device)) return false;
  if (devices_.size() >= kMostDevices) {
    is_too_much_ = true;
    return false;
  }
  devices_[device] = std::move(kind);
  return true;
}

bool MountSearch::add_stacked() {
  bool is_new = false;
  for (const DeviceNumber device : devices()) {
    if (device.major == 0) continue;
    for (const StackedDevice& holder : list_holders(device)) {
      is_new = add(holder.number, {.name = fmt::format("device {} on top of it", holder.name),
                                   .holds_by_itself = true}) ||
               is_new;
    }
    for (const StackedDevice& part : list_partitions(device)) {
      is_new = add(part.number, {.name = "its partition " + part.name, .holds_by_itself = false}) ||
               is_new;
    }
  }
  return is_new;
}

bool MountSearch::covered_somewhere(const std::string& path) const {
  return std::any_of(views_.begin(), views_.end(), [&](const View& view) {
    return view.points.covers(path) && !lying_on_it(view, {path}).empty();
  });
}

bool MountSearch::add_loops() {
  std::vector<Loop> loops = list_loops();
  std::erase_if(loops, [&](const Loop& loop) { return devices_.contains(loop.number); });
  const std::vector<LoopPlace> places = find_loop_places(loops, devices());
  bool is_new = false;
  for (std::size_t at = 0; at < loops.size(); ++at) {
    const Loop& loop = loops[at];
    const bool is_on_it =
        places[at] == LoopPlace::OnDevices ||
        (places[at] == LoopPlace::Unknown && covered_somewhere(loop.backing_file));
    if (!is_on_it) continue;
    is_new = add(loop.number,
                 {.name = fmt::format("loop device {} over {}", loop.name, loop.backing_file),
                  .holds_by_itself = true}) ||
             is_new;
  }
  return is_new;
}

bool MountSearch::add_overlays() {
  settled_.clear();
  doubtful_.clear();
  const bool is_mounted = std::any_of(views_.begin(), views_.end(),
                                      [](const View& view) { return !view.points.empty(); });
  if (!is_mounted) return false;
  LayerPaths wanted;
  LayerPaths hidden;
  for (std::size_t at = 0; at < views_.size(); ++at) {
    MountNamespaces::for_each_mount(*views_[at].space, [&](const MountEntry& entry) {
      if (entry.fs_type == "overlay") note_overlay(at, entry, wanted, hidden);
      return true;
    });
  }
  bool is_new = add_overlays_of(wanted);
  // In a container whose root it is, an overlay hides its layers' paths, if that has them at all.
  // Where no namespace tells more, they may be anybody's.
  for (auto& [at, layers] : hidden) {
    for (auto& [path, devices] : layers) {
      std::erase_if(devices, [&](DeviceNumber device) { return settled_.contains(device); });
    }
  }
  is_new = add_overlays_of(hidden) || is_new;
  std::erase_if(doubtful_, [&](const auto& one) {
    return settled_.contains(one.first) || devices_.contains(one.first);
  });
  return is_new;
}

bool MountSearch::add_overlays_of(const LayerPaths& layer_paths) {
  // An overlay may be mounted over its own layers.
  const auto counts = [&](const MountEntry& entry) {
    return entry.fs_type != "overlay" || is_ours(entry);
  };
  bool is_new = false;
  for (const auto& [at, layers] : layer_paths) {
    std::set<std::string> paths;
    for (const auto& [path, devices] : layers) paths.insert(path);
    for (const std::string& path : lying_on_it(views_[at], paths, counts)) {
      for (const DeviceNumber device : layers.at(path)) {
        is_new = add(device, {.name = "an overlay of it", .holds_by_itself = false}) || is_new;
      }
    }
  }
  return is_new;
}

// An overlay's options name its layers as they were seen by who mounted it, in whose namespace it
// is seen, too, as a rule.
void MountSearch::note_overlay(std::size_t at, const MountEntry& entry, LayerPaths& wanted,
                               LayerPaths& hidden) {
  const DeviceNumber device = entry.device();
  if (devices_.contains(device) || settled_.contains(device)) return;
  const Layers layers = find_layers(entry);
  bool is_told = layers.complete;
  const auto want = [&](LayerPaths& lists, std::size_t view, const std::string& path) {
    auto& paths = lists[view];
    if (paths.size() < kMostLayers || paths.contains(path)) {
      paths[path].insert(device);
    } else {
      is_told = false;
    }
  };
  bool is_hidden = false;
  for (const std::string& path : layers.paths) {
    if (views_[at].points.covers(path)) want(wanted, at, path);
    if (!is_below(path, entry.mount_point)) continue;
    is_hidden = true;
    for (std::size_t other = 0; other < views_.size(); ++other) {
      if (other != at && views_[other].points.covers(path)) want(hidden, other, path);
    }
  }
  const bool may_be_ours = spaces_.is_host(*views_[at].space) || !views_[at].points.empty();
  if (is_told && !is_hidden) settled_.insert(device);
  if (!is_told && may_be_ours && doubtful_.size() < kMostDevices) {
    doubtful_[device] = entry.mount_point;
  }
}

}  // namespace plexvol::filesystem
