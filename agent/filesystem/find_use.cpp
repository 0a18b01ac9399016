#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "agent/api/error.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/child.h"
#include "agent/process/holders.h"
#include "agent/process/proc.h"

namespace plexvol::filesystem {

namespace {

// A mount namespace, as one of its processes sees it.
struct Namespace {
  std::string id;  // "mnt:[4026531841]"
  pid_t pid = 0;
  std::string root;  // of that process, when it sees only a part of the namespace
  std::vector<MountEntry> entries;
};

std::string path_of(pid_t pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

class Search {
 public:
  Search(unsigned major, unsigned minor)
      : major_(major), minor_(minor), pids_(process::list_processes()) {
    std::erase(pids_, getpid());
    read_namespaces();
  }

  DeviceUse run() {
    DeviceUse use;
    for (const MountEntry& entry : namespaces_.at(host_).entries) {
      if (is_ours(entry)) use.mounts.push_back(entry.mount_point);
    }
    for (const pid_t pid : pids_) {
      if (const auto what = find_file_use(pid)) add(use, pid, *what);
    }
    for (const pid_t pid : process::list_openers(major_, minor_)) {
      if (pid != getpid()) add(use, pid, "has the device open");
    }
    add_foreign_mounts(use);
    if (use.mounts.empty() && use.users.empty() && !mounted_somewhere_ && kernel_has_it_mounted()) {
      use.users.push_back(
          {.pid = 0,
           .command = "kernel",
           .what = "has it mounted, although no process's mount namespace shows it"});
    }
    return use;
  }

 private:
  bool is_ours(const MountEntry& entry) const {
    return entry.major == major_ && entry.minor == minor_;
  }

  void read_namespaces() {
    own_ = process::read_link("/proc/self/ns/mnt");
    host_ = in_host_namespace() ? own_ : process::read_link("/proc/1/ns/mnt");
    if (own_.empty() || host_.empty()) {
      throw Error(ErrorCode::Internal,
                  "cannot tell which mount namespace is the host's; the agent has to be privileged "
                  "and in the host's process namespace");
    }
    read_namespace(host_, 1);
    if (namespaces_[host_].entries.empty()) {
      throw Error(ErrorCode::Internal, "cannot read /proc/1/mountinfo");
    }
    for (const pid_t pid : pids_) {
      const std::string id = process::read_link(path_of(pid, "ns/mnt"));
      if (id.empty()) continue;
      namespace_of_[pid] = id;
      // Again when its process was just ending, or sees only a part of it.
      const Namespace& seen = namespaces_[id];
      if (seen.entries.empty() || !seen.root.empty()) read_namespace(id, pid);
    }
  }

  void read_namespace(const std::string& id, pid_t pid) {
    Namespace seen{.id = id,
                   .pid = pid,
                   .root = process::read_link(path_of(pid, "root")),
                   .entries = parse_mountinfo(process::read_text_file(path_of(pid, "mountinfo")))};
    // After a chroot, mount points are told as seen from there.
    if (seen.root == "/") seen.root.clear();
    for (MountEntry& entry : seen.entries) {
      const bool at_root = entry.mount_point == "/" && !seen.root.empty();
      entry.mount_point = at_root ? seen.root : seen.root + entry.mount_point;
      if (!is_ours(entry)) continue;
      mount_ids_.insert(entry.mount_id);
      mounted_somewhere_ = true;
    }
    const Namespace& former = namespaces_[id];
    if (!former.entries.empty() && (seen.entries.empty() || !seen.root.empty())) return;
    namespaces_[id] = std::move(seen);
  }

  static void add(DeviceUse& use, pid_t pid, const std::string& what) {
    const bool known = std::any_of(use.users.begin(), use.users.end(),
                                   [&](const User& user) { return user.pid == pid; });
    if (!known) {
      use.users.push_back({.pid = pid, .command = process::command_of(pid), .what = what});
    }
  }

  std::optional<std::string> find_file_use(pid_t pid) const {
    if (mount_ids_.empty()) return std::nullopt;
    if (auto what = find_open_file(pid)) return what;
    if (lies_on_it(pid, "cwd")) return "works in " + process::read_link(path_of(pid, "cwd"));
    if (lies_on_it(pid, "root")) return "has its root on it";
    if (lies_on_it(pid, "exe")) return "runs " + process::read_link(path_of(pid, "exe"));
    if (maps_a_file(pid)) return "has a file of it mapped";
    return std::nullopt;
  }

  // By the mount that the descriptor came from, which needs no look at the file.
  std::optional<std::string> find_open_file(pid_t pid) const {
    for (const int descriptor : process::list_descriptors(pid)) {
      const std::string path = process::read_link(path_of(pid, "fd/" + std::to_string(descriptor)));
      // Sockets, pipes and the like are on no mount.
      if (!path.starts_with('/')) continue;
      const std::string info =
          process::read_text_file(path_of(pid, "fdinfo/" + std::to_string(descriptor)));
      const std::size_t at = info.find("mnt_id:");
      if (at == std::string::npos) continue;
      const std::size_t digits = info.find_first_of("0123456789", at);
      if (digits == std::string::npos) continue;
      unsigned id = 0;
      std::from_chars(info.data() + digits, info.data() + info.size(), id);
      if (mount_ids_.contains(id)) return "has " + path + " open";
    }
    return std::nullopt;
  }

  // There is no fdinfo for these: the mount is the one with the longest mount point that leads to
  // the path.
  bool lies_on_it(pid_t pid, const char* link) const {
    const auto id = namespace_of_.find(pid);
    const std::string path = process::read_link(path_of(pid, link));
    if (id == namespace_of_.end() || !path.starts_with('/')) return false;
    const MountEntry* best = nullptr;
    for (const MountEntry& entry : namespaces_.at(id->second).entries) {
      const std::string& point = entry.mount_point;
      const bool leads = point == "/" || path == point || path.starts_with(point + "/");
      // Of two at one place the later one is on top.
      if (leads && (best == nullptr || point.size() >= best->mount_point.size())) best = &entry;
    }
    return best != nullptr && is_ours(*best);
  }

  // Only a mapping without an open file is left to be found here, by a process that can see a mount
  // of it.
  bool maps_a_file(pid_t pid) const {
    const auto id = namespace_of_.find(pid);
    if (id == namespace_of_.end()) return false;
    const auto& entries = namespaces_.at(id->second).entries;
    const bool visible = std::any_of(entries.begin(), entries.end(),
                                     [&](const auto& entry) { return is_ours(entry); });
    if (!visible) return false;
    // "7f.. r--p 00000000 fd:01 393 /path"
    char device[32];
    std::snprintf(device, sizeof device, " %02x:%02x ", major_, minor_);
    const std::string path = path_of(pid, "maps");
    if (!process::hangs_in_kernel(pid)) return holds(path.c_str(), device) != 0;
    // Its memory map may be locked for as long as it hangs, and then this look hangs too. What
    // cannot be looked into counts as a use.
    constexpr std::chrono::seconds kLimit{1};
    return process::run_in_child([&] { return holds(path.c_str(), device); }, kLimit).value_or(1) !=
           0;
  }

  // Whether a file holds a text: 1 or 0. System calls only.
  static int holds(const char* path, const char* text) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    const std::size_t length = std::strlen(text);
    char buffer[8192];
    std::size_t kept = 0;
    int found = 0;
    while (found == 0) {
      const ssize_t count = read(file, buffer + kept, sizeof buffer - kept);
      if (count <= 0) break;
      const std::size_t filled = kept + static_cast<std::size_t>(count);
      if (memmem(buffer, filled, text, length) != nullptr) found = 1;
      // The text may begin in this piece and end in the next.
      kept = std::min(filled, length);
      std::memmove(buffer, buffer + filled - kept, kept);
    }
    close(file);
    return found;
  }

  void add_foreign_mounts(DeviceUse& use) const {
    for (const auto& [id, seen] : namespaces_) {
      if (id == host_ || id == own_) continue;
      for (const MountEntry& entry : seen.entries) {
        if (!is_ours(entry) || goes_with_host(seen, entry)) continue;
        // Each of them keeps the mount.
        for (const auto& [pid, namespace_id] : namespace_of_) {
          if (namespace_id != id) continue;
          add(use, pid, "has it mounted on " + entry.mount_point + " in its own mount namespace");
        }
        break;
      }
    }
  }

  // An unmount is passed on to the copies of the mount below it, at the same place in it.
  bool goes_with_host(const Namespace& seen, const MountEntry& entry) const {
    const MountEntry* parent = find_entry(seen, entry.parent_id);
    if (parent == nullptr) return false;
    const Namespace& host = namespaces_.at(host_);
    return std::any_of(host.entries.begin(), host.entries.end(), [&](const MountEntry& candidate) {
      if (!is_ours(candidate) || candidate.root != entry.root) return false;
      const MountEntry* below = find_entry(host, candidate.parent_id);
      return below != nullptr && below->peer_group != 0 &&
             (parent->peer_group == below->peer_group || parent->master == below->peer_group) &&
             place_in(*parent, entry) == place_in(*below, candidate);
    });
  }

  // The path of a mount point within the file system that it lies on.
  static std::string place_in(const MountEntry& parent, const MountEntry& entry) {
    const auto without_slash = [](const std::string& path) {
      return path == "/" ? std::string() : path;
    };
    const std::size_t prefix = without_slash(parent.mount_point).size();
    return without_slash(parent.root) +
           entry.mount_point.substr(std::min(prefix, entry.mount_point.size()));
  }

  static const MountEntry* find_entry(const Namespace& seen, unsigned mount_id) {
    const auto found =
        std::find_if(seen.entries.begin(), seen.entries.end(),
                     [&](const MountEntry& entry) { return entry.mount_id == mount_id; });
    return found == seen.entries.end() ? nullptr : &*found;
  }

  // ext4 and xfs have a folder in /sys while they have the device mounted, however hidden the mount
  // is.
  bool kernel_has_it_mounted() const {
    const std::string link = process::read_link("/sys/dev/block/" + std::to_string(major_) + ":" +
                                                std::to_string(minor_));
    const std::string name = link.substr(link.rfind('/') + 1);
    if (name.empty()) return false;
    return access(("/sys/fs/ext4/" + name).c_str(), F_OK) == 0 ||
           access(("/sys/fs/xfs/" + name).c_str(), F_OK) == 0;
  }

  unsigned major_;
  unsigned minor_;
  std::vector<pid_t> pids_;
  std::string own_;
  std::string host_;
  std::map<std::string, Namespace> namespaces_;
  std::map<pid_t, std::string> namespace_of_;
  std::set<unsigned> mount_ids_;
  bool mounted_somewhere_ = false;
};

}  // namespace

DeviceUse find_use(unsigned major, unsigned minor) {
  return Search(major, minor).run();
}

}  // namespace plexvol::filesystem
