// The mount namespaces of this machine, and what is mounted in each.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"
#include "agent/process/strict_proc.h"

namespace plexvol::process {

struct MountNamespace {
  std::string id;  // "mnt:[4026531841]"
  std::vector<strict::Process> processes;
  // Some of them, by their root directory ("/" when they see all of the namespace).
  std::map<std::string, std::vector<pid_t>> by_root;
};

// This process is in process 1's mount namespace itself. Throws as mounts::for_each_mount() does.
bool in_host_mount_namespace();
// Of this process, which must have one thread only: a child. False: it may not. System calls only.
bool enter_host_mount_namespace();

// As they were when this was made. This process itself is in none of the lists.
class MountNamespaces {
 public:
  // Throws Internal or Unavailable when a process cannot be looked at, or when it cannot be told
  // which namespace is the host's.
  MountNamespaces();

  // The first one is the host's: that of process 1.
  const std::vector<MountNamespace>& all() const { return all_; }
  bool is_host(const MountNamespace& one) const { return one.id == host_; }
  bool is_own(const MountNamespace& one) const { return one.id == own_; }

  // As mounts::for_each_mount(), with mount points as seen from the namespace's own root. Of
  // processes that see only a part of it, some are asked, one for each root directory. Nothing is
  // shown when they have all ended.
  static void for_each_mount(const MountNamespace& one, const mounts::EntryVisitor& visit);

 private:
  void add(const strict::Process& process);

  std::string own_;
  std::string host_;
  std::vector<MountNamespace> all_;
  std::map<std::string, std::size_t> at_;
};

}  // namespace plexvol::process
