// Finds where a device, and everything stacked on it, is mounted in all mount namespaces. Compares
// the kernel's tables only and never touches the mounted file systems. Tables are read as streams:
// memory does not grow with them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/filesystem/path_filter.h"
#include "agent/filesystem/stacked.h"
#include "agent/mounts/mountinfo.h"
#include "agent/process/namespaces.h"
#include "agent/process/open_files.h"

namespace plexvol::filesystem {

class MountSearch {
 public:
  // What one namespace has of it.
  struct View {
    const process::MountNamespace* space = nullptr;
    PathFilter points;  // none: it has nothing mounted there
    // Why each of its processes uses the device: "has it mounted on ...".
    std::optional<std::string> use;
  };

  // Looks. Throws as MountNamespaces does. `spaces` must outlive this.
  MountSearch(const process::MountNamespaces& spaces, mounts::DeviceNumber volume);

  // The volume's own device first, then what stands on it.
  std::vector<mounts::DeviceNumber> devices() const;
  const std::vector<View>& views() const { return views_; }
  bool is_its_mount(unsigned mount_id) const { return mount_ids_.contains(mount_id); }
  const process::NodeMounts& node_mounts() const { return node_mounts_; }
  // Which of the paths, as a process of that namespace has them, lie on it.
  std::set<std::string> lying_on_it(const View& view, const std::set<std::string>& paths) const {
    return lying_on_it(view, paths, [](const mounts::MountEntry&) { return true; });
  }
  // What keeps it in use although no process does: "has the overlay on /merged mounted, ...".
  std::vector<std::string> kernel_uses() const;

 private:
  struct Parent {
    unsigned peer_group = 0;
    unsigned master = 0;
    std::string root;
    std::string mount_point;
  };
  struct Mounted {
    mounts::DeviceNumber device;
    unsigned parent_id = 0;
    std::string root;
    std::string mount_point;
    std::optional<Parent> parent;
  };
  struct Kind {
    std::string name;              // "loop device loop7 on /data/image"; "" for the volume itself
    bool holds_by_itself = false;  // also when nothing of it is mounted
  };
  // The layers of overlays that have to be looked up, by the view to look in.
  using LayerPaths = std::map<std::size_t, std::map<std::string, std::set<mounts::DeviceNumber>>>;

  bool is_ours(const mounts::MountEntry& entry) const { return devices_.contains(entry.device()); }
  std::set<std::string> lying_on_it(
      const View& view, const std::set<std::string>& paths,
      const std::function<bool(const mounts::MountEntry&)>& counts) const;
  void look_at_mounts();
  void look_at(View& view);
  std::vector<Mounted> find_mounted(View& view, bool& is_whole);
  void look_at_host(const std::vector<Mounted>& found);
  void look_at_other(View& view, const std::vector<Mounted>& found);
  bool goes_with_host(const Mounted& mounted) const;

  // Each answers whether it found something new.
  bool add(mounts::DeviceNumber device, Kind kind);
  bool add_stacked();
  bool add_loops();
  bool add_overlays();
  bool add_overlays_of(const LayerPaths& layer_paths);
  void note_overlay(std::size_t at, const mounts::MountEntry& entry, LayerPaths& wanted,
                    LayerPaths& hidden);
  bool covered_somewhere(const std::string& path) const;

  const process::MountNamespaces& spaces_;
  mounts::DeviceNumber volume_;
  std::map<mounts::DeviceNumber, Kind> devices_;
  std::vector<View> views_;  // the host's first
  std::set<unsigned> mount_ids_;
  process::NodeMounts node_mounts_;
  std::vector<Mounted> in_host_;
  std::set<mounts::DeviceNumber> of_processes_;  // mounted in a namespace whose processes use it
  std::set<mounts::DeviceNumber> settled_;       // overlays whose layers lie elsewhere
  std::map<mounts::DeviceNumber, std::string> doubtful_;  // overlays of which that is not known
  bool is_too_much_ = false;
};

}  // namespace plexvol::filesystem
