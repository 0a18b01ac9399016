// Mounts in the directories of pods that have ended, which nobody will unmount.
//
// A kubelet of Kubernetes 1.12 loses sight of the volumes of a pod that is deleted while the
// kubelet restarts (contract fact 42): it never calls `unmount`, and the pod stays Terminating for
// as long as the volume is mounted.
//
// No sandbox and no process is no proof that a pod has ended: a kubelet mounts a pod's volumes
// before it creates the pod's first sandbox, and waits for the last volume for hours if it must.
// But a kubelet keeps the last sandbox of every pod that exists, and removes all of them only when
// the pod is deleted. So:
//   - A mount is taken down only when the pod had a sandbox while it was mounted, and then neither
//     a sandbox nor a process for `patience`, which is far longer than a kubelet takes to unmount
//     the volumes of a deleted pod or to replace a sandbox that somebody else removed.
//   - Where no sandbox was seen, the pod may be starting. Its mount is only reported.
// Should the pod exist after all, no write is lost: its directory is guarded
// (agent/mounts/guard.h), so its writes fail, and PodDirectories reports it.
//
// Which pods had a sandbox is kept in memory only: an agent that was restarted does less, not more.
// The other ways a volume is released (a request of another node, detach, deletion) do not depend
// on any of this.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace plexvol::mounting {

struct EndedPodSettings {
  // The uid of the pod in whose directory a mount point is: of a volume, or of a container's
  // subPath. nullopt: in no pod's.
  std::function<std::optional<std::string>(const std::string& path)> pod_of;
  // Whether a container runtime knows a sandbox of the pod, stopped or not. nullopt: unknown.
  std::function<std::optional<bool>(const std::string& uid)> has_sandbox;
  // No process of the pod is left either. False when it cannot be known.
  std::function<bool(const std::string& uid)> is_proved_dead;
  // A mount call for the volume is under way.
  std::function<bool(const std::string& volume)> is_being_mounted;
  // umount(2) in the host's mount namespace. False: busy. Throws Error.
  std::function<bool(const std::string& path)> unmount;
  // What report() answers for the volume has changed.
  std::function<void(const std::string& volume)> changed;
  std::chrono::seconds patience{300};
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

struct MountReport {
  std::string found;
  std::string advice;
};

class EndedPods {
 public:
  explicit EndedPods(EndedPodSettings settings);

  // Looks at every mount once, and unmounts what is left over. `mounts`: the mount points of each
  // volume whose device is not frozen. Called by one thread at a time, once a minute or more often:
  // a pod that lives shorter than that may end without its sandbox having been seen.
  void look(const std::map<std::string, std::vector<std::string>>& mounts);

  // For administrators: the mounts of the volume that belong to no known pod, and what to do; ""
  // for none. May be called by any thread.
  std::string report(const std::string& volume) const;
  // The same for all volumes, one for each mount.
  std::vector<MountReport> list_reports() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Mount {
    std::string volume;
    std::string pod;
    bool had_sandbox = false;
    std::optional<Clock::time_point> dead_since;
    std::int64_t dead_since_time = 0;  // the same, in seconds since 1970
    std::optional<MountReport> report;
  };

  // False: it is mounted no more.
  bool look_at(const std::string& path, Mount& mount, std::optional<bool> has_sandbox) const;
  bool take_down(const std::string& path, Mount& mount) const;
  void keep(std::map<std::string, Mount> mounts);
  static std::string to_text(const std::optional<MountReport>& report);

  EndedPodSettings settings_;
  mutable std::mutex mutex_;             // of mounts_, which only look() changes
  std::map<std::string, Mount> mounts_;  // by mount point
};

}  // namespace plexvol::mounting
