// The processes of a pod, by the cgroups that they are in.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace plexvol::pods {

// Reads a /proc/<pid>/cgroup piece by piece, in bounded memory, and looks for a path component that
// names the pod: "pod<uid>" (cgroupfs), "kubepods-burstable-pod<uid with _ for ->.slice" (systemd),
// either with a prefix before "pod" or a suffix like ":cri-containerd:<id>". In cgroups of version
// 1 (a line for each hierarchy) and 2 (one line).
class CgroupSearch {
 public:
  explicit CgroupSearch(const std::string& uid);
  void take(std::string_view piece);
  // Only after the last piece.
  bool found();

 private:
  void end_component();
  bool names_pod(const std::string& marker) const;

  std::string with_dashes_;
  std::string with_underscores_;
  std::string component_;
  int colons_ = 0;  // the path begins after the second one of a line
  bool found_ = false;
};

// Those in a cgroup of the pod that may still run code of their own. Throws Unavailable when one
// cannot be looked at.
std::vector<pid_t> find_processes(const std::string& uid, const std::string& proc);

}  // namespace plexvol::pods
