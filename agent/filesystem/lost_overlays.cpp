#include "agent/filesystem/lost_overlays.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "agent/filesystem/find_use.h"
#include "agent/filesystem/overlay.h"
#include "agent/process/child.h"
#include "agent/process/open_files.h"
#include "agent/process/proc.h"
#include "agent/process/processes.h"
#include "agent/process/strict_proc.h"

namespace plexvol::filesystem {

namespace {

using mounts::DeviceNumber;
using mounts::MountEntry;
using process::MountNamespace;
using process::MountNamespaces;
namespace strict = process::strict;

constexpr std::chrono::seconds kOverlaysLimit{2};
constexpr std::size_t kMostOverlays = 4096;
constexpr std::size_t kMostMounts = 65536;
constexpr std::size_t kMostLayersKnown = 65536;
constexpr std::size_t kMostLooks = 65536;
// What a child finds.
constexpr int kThere = 1;

// In a child. With the process's root as its own, so that absolute links lead where they do there.
int look_for_layer(pid_t pid, const char* path) {
  std::array<char, 64> root{};
  std::snprintf(root.data(), root.size(), "/proc/%d/root", pid);
  const int own = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (own < 0 || chroot(root.data()) != 0) return 0;
  const int layer = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (layer >= 0) close(layer);
  // If there is no way back, nothing is found from here on.
  const bool is_back = fchdir(own) == 0 && chroot(".") == 0;
  close(own);
  return layer >= 0 && is_back ? kThere : 0;
}

class LostOverlays {
 public:
  explicit LostOverlays(const MountNamespaces& spaces) : spaces_(spaces) {}

  std::vector<User> find_users() {
    for (std::size_t at = 0; at < spaces_.all().size(); ++at) list_overlays(at);
    if (is_too_much_) return {};
    for (const DeviceNumber device : system_roots_) overlays_.erase(device);
    look(Witness::Host);
    look(Witness::Others);
    std::erase_if(overlays_, [](const auto& one) { return is_found(one.second); });
    auto living = find_living();
    if (living.empty()) living = find_living_openers();
    return living.empty() ? find_doomed() : living;
  }

 private:
  struct Overlay {
    std::map<std::size_t, std::string> points;  // by the namespace that shows it
    std::set<std::vector<std::string>> layers;  // more than one where namespaces tell differently
    std::set<std::string> found;
    std::set<unsigned> mount_ids;
  };
  struct Look {
    pid_t pid = 0;
    const std::string* path = nullptr;
    Overlay* overlay = nullptr;
  };
  // The host's process 1, which finds most of them, or one in each namespace that shows the
  // overlay.
  enum class Witness { Host, Others };

  static bool is_found(const Overlay& overlay) {
    return std::any_of(overlay.layers.begin(), overlay.layers.end(), [&](const auto& paths) {
      return std::all_of(paths.begin(), paths.end(),
                         [&](const std::string& path) { return overlay.found.contains(path); });
    });
  }

  void list_overlays(std::size_t at) {
    MountNamespaces::for_each_mount(spaces_.all()[at], [&](const MountEntry& entry) {
      if (entry.fs_type != "overlay") return true;
      // It was there before any volume, and its layers may be where the system has started from.
      if (spaces_.is_host(spaces_.all()[at]) && entry.mount_point == "/") {
        system_roots_.insert(entry.device());
      }
      if (overlays_.size() >= kMostOverlays && !overlays_.contains(entry.device())) {
        is_too_much_ = true;
        return false;
      }
      Overlay& overlay = overlays_[entry.device()];
      if (overlay.mount_ids.insert(entry.id).second && ++mount_count_ > kMostMounts) {
        is_too_much_ = true;
        return false;
      }
      overlay.points.try_emplace(at, entry.mount_point);
      Layers layers = find_layers(entry);
      if (!layers.complete || layer_count_ + layers.paths.size() > kMostLayersKnown) return true;
      const std::size_t count = layers.paths.size();
      if (overlay.layers.insert(std::move(layers.paths)).second) layer_count_ += count;
      return true;
    });
  }

  // One that sees all of the namespace: the first is the one that lives longest, as a rule.
  static pid_t witness_of(const MountNamespace& space) {
    const auto whole = space.by_root.find("/");
    return whole == space.by_root.end() ? 0 : whole->second.front();
  }

  void look(Witness witness) {
    std::vector<Look> looks;
    for (auto& [device, overlay] : overlays_) {
      if (!is_found(overlay)) add_looks(witness, overlay, looks);
    }
    const auto findings = process::look_in_children(
        looks.size(),
        [&](std::size_t at) { return look_for_layer(looks[at].pid, looks[at].path->c_str()); },
        kOverlaysLimit);
    for (std::size_t at = 0; at < looks.size(); ++at) {
      if (findings[at] == kThere) looks[at].overlay->found.insert(*looks[at].path);
    }
  }

  void add_looks(Witness witness, Overlay& overlay, std::vector<Look>& looks) {
    std::set<pid_t> witnesses;
    if (witness == Witness::Host) {
      witnesses.insert(1);
    } else {
      for (const auto& [at, point] : overlay.points) {
        const MountNamespace& space = spaces_.all()[at];
        if (!spaces_.is_host(space)) witnesses.insert(witness_of(space));
      }
    }
    witnesses.erase(0);
    for (const auto& paths : overlay.layers) {
      for (const std::string& path : paths) {
        if (overlay.found.contains(path)) continue;
        for (const pid_t pid : witnesses) {
          if (looks.size() < kMostLooks) looks.push_back({pid, &path, &overlay});
        }
      }
    }
  }

  static User refuse(pid_t pid, const std::string& what) {
    return {
        .pid = 0,
        .command = "kernel",
        .what = fmt::format("has it mounted, although no process's mount namespace shows it: pid "
                            "{} ({}) {} whose layers are found nowhere; they may be on it",
                            pid, process::command_of(pid), what),
        .start_time = 0};
  }

  std::vector<User> find_living() const {
    for (const auto& [device, overlay] : overlays_) {
      for (const auto& [at, point] : overlay.points) {
        const MountNamespace& space = spaces_.all()[at];
        const std::string what = "has an overlay on " + point;
        // This process is in no list.
        if (spaces_.is_own(space)) return {refuse(getpid(), what)};
        for (const strict::Process& process : space.processes) {
          if (!process::is_doomed(process.pid)) return {refuse(process.pid, what)};
        }
      }
    }
    return {};
  }

  // A file may have been opened through, or received from, a namespace that the process is not in.
  std::vector<User> find_living_openers() const {
    std::set<unsigned> mount_ids;
    for (const auto& [device, overlay] : overlays_) {
      mount_ids.insert(overlay.mount_ids.begin(), overlay.mount_ids.end());
    }
    std::vector<User> users;
    if (mount_ids.empty()) return users;
    for (const MountNamespace& space : spaces_.all()) {
      for (const strict::Process& process : space.processes) {
        if (process::is_doomed(process.pid)) continue;
        process::for_each_open_file(process.pid, [&](const auto& file, const std::string& path) {
          if (!mount_ids.contains(file.mount_id)) return true;
          users = {refuse(process.pid, fmt::format("has {} open through an overlay", path))};
          return false;
        });
        if (!users.empty()) return users;
      }
    }
    return users;
  }

  std::vector<User> find_doomed() const {
    std::vector<User> users;
    std::set<pid_t> named;
    for (const auto& [device, overlay] : overlays_) {
      for (const auto& [at, point] : overlay.points) {
        for (const strict::Process& process : spaces_.all()[at].processes) {
          // One that has left its namespace meanwhile explains nothing.
          const auto link = process::path_of(process.pid, "ns/mnt");
          if (!strict::read_link(link) || !named.insert(process.pid).second) continue;
          users.push_back(
              {.pid = process.pid,
               .command = process::command_of(process.pid),
               .what = fmt::format("may have a file of it open through the overlay on {}, "
                                   "whose layers are found nowhere",
                                   point),
               .start_time = process.start_time});
        }
      }
    }
    return users;
  }

  const MountNamespaces& spaces_;
  std::map<DeviceNumber, Overlay> overlays_;
  std::set<DeviceNumber> system_roots_;
  std::size_t layer_count_ = 0;
  std::size_t mount_count_ = 0;
  bool is_too_much_ = false;
};

}  // namespace

std::vector<User> find_lost_overlay_users(const MountNamespaces& spaces) {
  return LostOverlays(spaces).find_users();
}

}  // namespace plexvol::filesystem
