#include "agent/process/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <optional>

#include "agent/api/error.h"
#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

unsigned first_mount_id(const std::string& path) {
  unsigned id = 0;
  mounts::for_each_mount(path, [&](const mounts::MountEntry& entry) {
    id = entry.id;
    return false;
  });
  return id;
}

// After a chroot, mount points are told as seen from there.
std::string seen_from_root(const std::string& root, const std::string& point) {
  if (root == "/") return point;
  return point == "/" ? root : root + point;
}

// false: the process has ended.
bool show_mounts(pid_t pid, const std::string& root, const mounts::EntryVisitor& visit) {
  bool has_mounts = false;
  try {
    mounts::for_each_mount(path_of(pid, "mountinfo"), [&](const mounts::MountEntry& entry) {
      has_mounts = true;
      if (root == "/") return visit(entry);
      mounts::MountEntry moved = entry;
      moved.mount_point = seen_from_root(root, entry.mount_point);
      return visit(moved);
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::NotFound) throw;
  }
  return has_mounts;
}

}  // namespace

bool enter_host_mount_namespace() {
  const int host = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
  return host >= 0 && setns(host, CLONE_NEWNS) == 0;
}

bool in_host_mount_namespace() {
  // Mounts have numbers of their own in every mount namespace. The links in /proc/1/ns cannot be
  // read by a process that may do less than process 1.
  const unsigned host = first_mount_id("/proc/1/mountinfo");
  return host != 0 && host == first_mount_id("/proc/self/mountinfo");
}

MountNamespaces::MountNamespaces() {
  own_ = strict::read_link("/proc/self/ns/mnt").value_or("");
  host_ = in_host_mount_namespace() ? own_ : strict::read_link("/proc/1/ns/mnt").value_or("");
  if (own_.empty() || host_.empty()) {
    throw Error(ErrorCode::Internal,
                "cannot determine the host's mount namespace; run the agent privileged and in the "
                "host's PID namespace");
  }
  // Process 1 may be this one, and alone in it.
  at_[host_] = 0;
  all_.push_back({.id = host_, .processes = {}, .by_root = {{"/", {1}}}});
  for (const strict::Process& process : strict::list_processes()) {
    if (process.pid != getpid()) add(process);
  }
}

void MountNamespaces::add(const strict::Process& process) {
  constexpr std::size_t kMostRoots = 8;
  constexpr std::size_t kMostReaders = 16;
  const auto id = strict::read_link(path_of(process.pid, "ns/mnt"));
  const auto root = strict::read_link(path_of(process.pid, "root"));
  if (!id || !root) return;  // it is ending
  const auto [at, is_new] = at_.try_emplace(*id, all_.size());
  if (is_new) all_.push_back({.id = *id, .processes = {}, .by_root = {}});
  MountNamespace& found = all_[at->second];
  found.processes.push_back(process);
  const bool has_room = found.by_root.size() < kMostRoots || found.by_root.contains(*root);
  if (!has_room && *root != "/") return;
  auto& readers = found.by_root[*root];
  if (readers.size() < kMostReaders) readers.push_back(process.pid);
}

void MountNamespaces::for_each_mount(const MountNamespace& one, const mounts::EntryVisitor& visit) {
  const auto ask = [&](const std::string& root, const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
      if (show_mounts(pid, root, visit)) return true;
    }
    return false;
  };
  const auto whole = one.by_root.find("/");
  if (whole != one.by_root.end() && ask("/", whole->second)) return;
  for (const auto& [root, pids] : one.by_root) {
    if (root != "/") ask(root, pids);
  }
}

}  // namespace plexvol::process
