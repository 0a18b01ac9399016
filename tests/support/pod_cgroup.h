// A cgroup as a kubelet makes it for a pod, in whatever hierarchy this machine has.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

namespace plexvol::support {

class PodCgroup {
 public:
  explicit PodCgroup(const std::string& uid) {
    const std::filesystem::path root = "/sys/fs/cgroup";
    for (const char* hierarchy : {"", "systemd", "unified", "pids", "freezer"}) {
      const auto parent = root / hierarchy;
      if (!std::filesystem::exists(parent / "cgroup.procs")) continue;
      const auto folder = parent / ("pod" + uid);
      std::error_code error;
      if (!std::filesystem::create_directory(folder, error)) continue;
      folder_ = folder;
      parent_ = parent;
      return;
    }
  }
  // Its processes must have ended, or are moved out.
  ~PodCgroup() {
    if (!exists()) return;
    std::ifstream members(folder_ / "cgroup.procs");
    for (std::string pid; members >> pid;) std::ofstream(parent_ / "cgroup.procs") << pid;
    std::error_code error;
    std::filesystem::remove(folder_, error);
  }
  PodCgroup(const PodCgroup&) = delete;
  PodCgroup& operator=(const PodCgroup&) = delete;

  // False: this machine lets nobody make one.
  bool exists() const { return !folder_.empty(); }
  void add(pid_t pid) const { std::ofstream(folder_ / "cgroup.procs") << pid; }

 private:
  std::filesystem::path folder_;
  std::filesystem::path parent_;
};

}  // namespace plexvol::support
