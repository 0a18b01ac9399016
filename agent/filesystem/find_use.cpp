#include "agent/filesystem/find_use.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <map>
#include <set>
#include <utility>

#include "agent/filesystem/lost_overlays.h"
#include "agent/filesystem/mount_search.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/namespaces.h"
#include "agent/process/open_files.h"
#include "agent/process/proc.h"
#include "agent/process/strict_proc.h"

namespace plexvol::filesystem {

namespace {

using mounts::DeviceNumber;
using process::FileKind;
using process::OpenFile;
namespace strict = process::strict;

// Paths are chosen by users.
std::string shorten(const std::string& text) {
  constexpr std::size_t kMost = 512;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

class Search {
 public:
  Search(unsigned major, unsigned minor)
      : volume_{.major = major, .minor = minor}, mounts_(spaces_, volume_) {}

  DeviceUse run() {
    DeviceUse use;
    use.mounts = list_mounts(volume_.major, volume_.minor);
    find_open_files();
    find_directories();
    find_mapped_files();
    find_device_files();
    for (const auto& view : mounts_.views()) {
      for (const strict::Process& process : view.space->processes) {
        if (view.use) add(process, *view.use);
      }
    }
    for (auto& [pid, user] : users_) use.users.push_back(std::move(user));
    for (const std::string& what : mounts_.kernel_uses()) use.users.push_back(of_kernel(what));
    const bool is_explained = !use.mounts.empty() || !use.users.empty() || is_mounted_somewhere();
    if (!is_explained && has_filesystem_mounted(volume_)) use.users = find_hidden_users();
    return use;
  }

 private:
  bool is_mounted_somewhere() const {
    for (const auto& view : mounts_.views()) {
      if (!view.points.empty()) return true;
    }
    return false;
  }

  // Never none.
  std::vector<User> find_hidden_users() const {
    std::vector<User> users = find_lost_overlay_users(spaces_);
    for (User& user : users) user.what = shorten(user.what);
    if (users.empty()) {
      users.push_back(of_kernel("has it mounted, although no process's mount namespace shows it"));
    }
    return users;
  }

  static User of_kernel(const std::string& what) {
    return {.pid = 0, .command = "kernel", .what = shorten(what), .start_time = 0};
  }

  void add(const strict::Process& process, const std::string& what) {
    if (users_.contains(process.pid)) return;
    users_[process.pid] = {.pid = process.pid,
                           .command = process::command_of(process.pid),
                           .what = shorten(what),
                           .start_time = process.start_time};
  }

  template <class Visit>
  void for_each_process(Visit visit) {
    for (const auto& view : mounts_.views()) {
      for (const strict::Process& process : view.space->processes) visit(process);
    }
  }

  // fdinfo names the mount that a file was opened through, so the file itself is not touched.
  void find_open_files() {
    for_each_process([&](const strict::Process& process) {
      process::for_each_open_file(process.pid, [&](const OpenFile& file, const std::string& path) {
        if (mounts_.is_its_mount(file.mount_id)) {
          add(process, fmt::format("has {} open", path));
          return false;
        }
        if (mounts_.node_mounts().may_be_device(file, path)) {
          nodes_.push_back(file);
          node_owners_.push_back(process);
        }
        return true;
      });
    });
  }

  void find_directories() {
    struct Place {
      strict::Process process;
      std::string path;
      std::string what;
    };
    static constexpr std::array<std::pair<const char*, const char*>, 3> kLinks{
        {{"cwd", "has its working directory in "},
         {"root", "has its root directory on it"},
         {"exe", "runs "}}};
    for (const auto& view : mounts_.views()) {
      if (view.points.empty()) continue;
      std::vector<Place> places;
      std::set<std::string> paths;
      for (const strict::Process& process : view.space->processes) {
        if (users_.contains(process.pid)) continue;
        for (const auto& [link, words] : kLinks) {
          const auto path = strict::read_link(process::path_of(process.pid, link));
          if (!path || !view.points.covers(*path)) continue;
          const bool is_root = std::string_view(link) == "root";
          places.push_back({process, *path, is_root ? words : words + *path});
          paths.insert(*path);
        }
      }
      const std::set<std::string> found = mounts_.lying_on_it(view, paths);
      for (const Place& place : places) {
        if (found.contains(place.path)) add(place.process, place.what);
      }
    }
  }

  // Finds mappings that outlive their descriptors, of processes that can see a mount of the device.
  // A process whose mappings cannot be read counts as a user.
  void find_mapped_files() {
    std::vector<strict::Process> processes;
    std::vector<pid_t> pids;
    for (const auto& view : mounts_.views()) {
      if (view.points.empty()) continue;
      for (const strict::Process& process : view.space->processes) {
        if (users_.contains(process.pid)) continue;
        processes.push_back(process);
        pids.push_back(process.pid);
      }
    }
    const auto mapped = process::find_mapped(pids, mounts_.devices());
    for (std::size_t at = 0; at < pids.size(); ++at) {
      if (mapped[at].value_or(true)) {
        add(processes[at], mapped[at]
                               ? "has a file of it mapped"
                               : "hangs in the kernel, so its mapped files cannot be checked");
      }
    }
  }

  void find_device_files() {
    const auto kinds = process::find_kinds(nodes_, mounts_.devices());
    for (std::size_t at = 0; at < kinds.size(); ++at) {
      if (!kinds[at]) {
        add(node_owners_[at], "has an open file that does not respond and may be the device");
      } else if (*kinds[at] == FileKind::Device) {
        add(node_owners_[at], "has the device open");
      } else if (*kinds[at] == FileKind::OnDevice) {
        add(node_owners_[at], "has a file of it open through a mount that no longer exists");
      }
    }
  }

  DeviceNumber volume_;
  process::MountNamespaces spaces_;
  MountSearch mounts_;
  std::map<pid_t, User> users_;
  std::vector<OpenFile> nodes_;
  std::vector<strict::Process> node_owners_;
};

}  // namespace

DeviceUse find_use(unsigned major, unsigned minor) {
  return Search(major, minor).run();
}

}  // namespace plexvol::filesystem
