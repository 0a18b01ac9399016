// The pods' directories that no volume is mounted on, though one was: the guard of
// agent/mounts/guard.h is still there, or the directory is.
//
// A kubelet waits for the directory of a deleted pod's volume, and cannot remove one that is
// guarded; when the agent has unmounted a left-over mount, nobody calls `unmount` for it. So the
// agent removes the directories of pods that are proved dead. A pod that may still run has lost its
// volume under itself: that is told.
//
// What is done rests on what is seen at that moment. On disk is only where kubelets keep their
// pods, so all of it is found again after a crash, a reboot, and by the next agent.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "agent/mounts/guard.h"

namespace plexvol::mounting {

struct PodDirectorySettings {
  std::string memory;  // a file: the kubelets' directories of pods, one a line
  // Where the host's / is seen by this process: "" or "/proc/1/root".
  std::function<std::string()> root;
  // No container of the pod is left, and none can start. False when it cannot be known.
  std::function<bool(const std::string& uid)> is_proved_dead;
  // A mount call for the volume is under way, so its directory may be guarded and not mounted.
  std::function<bool(const std::string& volume)> is_being_mounted;
  // umount(2) in the host's mount namespace. False: busy.
  std::function<bool(const std::string& path)> unmount;
  // What missing() answers for the volume has changed.
  std::function<void(const std::string& volume)> changed;
  // Told only when it was seen for as long: a driver unmounts a moment before it takes the guard
  // away.
  std::chrono::milliseconds patience{2'000};
};

enum class Look {
  Clear,
  Found,  // something is told: to be taken again when mounts change
  Again,  // something is about to be told: to be taken again soon
};

class PodDirectories {
 public:
  explicit PodDirectories(PodDirectorySettings settings);

  // What a driver is about to mount on. On disk when it returns; does nothing for a directory that
  // is no pod's. Never throws: /var/lib/kubelet/pods is known in any case, and a full disk must not
  // keep volumes from being mounted.
  void remember(const std::string& target);

  // One look at all of them. By one thread at a time.
  Look look();

  // For people: which pods have lost the volume under themselves, and what to do; "" when none.
  std::string missing(const std::string& volume) const;

 private:
  struct Found {
    std::string pod;
    std::string volume;
    std::chrono::steady_clock::time_point since;
    bool told = false;
  };

  void look_at(const mounts::PodVolume& directory, const std::string& root,
               std::map<std::string, Found>& found);
  void remove(const std::string& path, const std::string& root, bool guarded);
  void tell(std::map<std::string, Found>& found);
  void write_memory() const;

  PodDirectorySettings settings_;
  mutable std::mutex mutex_;
  std::set<std::string> pods_;          // kubelets' directories of pods
  std::map<std::string, Found> found_;  // by path: guarded and not mounted, of no dead pod
  std::set<std::string> not_empty_;     // by path: said once
};

}  // namespace plexvol::mounting
