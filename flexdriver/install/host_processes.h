// Which processes of this machine may be believed when they say where drivers go.
//
// Everybody can call a process "kubelet". Believed is only one that root of this machine has
// started: all its user ids are 0, it is in the pid and user namespaces of process 1, outside of
// any pod's cgroup, and its executable is a regular file of root's that nobody else can write to
// and that does not itself make its callers root (a waiting sudo has user id 0 and its caller's
// arguments).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/descriptor.h"
#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

struct HostProcess {
  std::string pid;
  base::Descriptor folder;         // /proc/PID: stands for this process alone
  std::vector<std::string> words;  // its command line
  // It has a mount namespace or a root of its own, so its paths may not be this node's.
  bool in_container = false;
};

struct HostProcesses {
  std::vector<HostProcess> trusted;
  // Pids of others that the kernel lists under one of the names. They are not asked anything: their
  // command line lies in their own memory, and reading it can be made to hang.
  std::vector<std::string> unheeded;
};

// `proc` is the host's /proc, `root` the host's /. `names` as the kernel has them, 15 characters at
// most. Throws Internal when process 1 cannot be looked at: then nobody can be told apart.
HostProcesses list_host_processes(const std::string& proc, const TrustedDir& root,
                                  const std::vector<std::string_view>& names);

// The pids of trusted processes, but for this one, that execute this very file.
std::vector<std::string> list_running(const std::string& proc, const TrustedDir& root,
                                      const struct stat& program);

// Pure: the content of /proc/PID/cgroup names a pod.
bool is_in_pod(const std::string& cgroup);

}  // namespace plexvol::driver
