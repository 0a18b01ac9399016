// Whether a pod of this node is gone. A pod may have no process at all and still be alive: between
// two restarts of its container, while an image is pulled, before its network is there. Its next
// container then starts on whatever is on its volume's directory, without any call to a driver.
//
// So a pod counts as dead only when that is proved: no process is in a cgroup of its name, and
// every container runtime of the node was asked by CRI and knows no sandbox of it. A stopped
// sandbox is no proof: the kubelet removes all sandboxes of a deleted pod, keeps the last one of a
// pod that exists, and starts a new one beside it without mounting anything again. No clock
// decides.
//
// What the proof cannot see is a pod that is just starting: its volumes are mounted before its
// first sandbox is made. Unmount for it only what another node asks for, never of our own accord.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace plexvol::pods {

enum class Life {
  Alive,
  Dead,     // proved
  Unknown,  // a runtime cannot be asked, or /proc cannot be read, or a stopped sandbox is left
};

struct Verdict {
  Life life = Life::Unknown;
  std::string name;    // "namespace/name", when a runtime tells it
  std::string why;     // for people: "whose processes are running (4711 redis-server)"; unless Dead
  std::string advice;  // what to do about it: "delete the pod"; unless Dead
};

struct Settings {
  // Of the container runtimes, in the host's mount namespace. One that does not exist is passed
  // over; each other one must answer.
  std::vector<std::string> runtime_sockets;
  std::string host_root;  // where this process sees the host's /: "" or "/proc/1/root"
  std::string proc = "/proc";
};

// May be called from several threads at a time.
class Pods {
 public:
  explicit Pods(Settings settings) : settings_(std::move(settings)) {}

  // Takes up to some seconds for each runtime that is there and silent. Never throws: what goes
  // wrong is Unknown.
  Verdict find(const std::string& uid) const;

  // Whether a container runtime knows a sandbox of the pod, stopped or not. nullopt: a runtime
  // cannot be asked. Cheaper than find(), which looks at every process. Never throws.
  std::optional<bool> has_sandbox(const std::string& uid) const;

  // SIGKILL for every process in a cgroup of the pod. Returns when none is left that could run its
  // own code again. Throws Unavailable when /proc cannot be read, or somebody new appears again and
  // again.
  void kill(const std::string& uid) const;

 private:
  Settings settings_;
};

// Pure. The uid in ".../pods/<uid>/volumes/..." and ".../pods/<uid>/volume-subpaths/...", the paths
// at which kubelets have volumes mounted for pods; nullopt for any other path.
std::optional<std::string> uid_in_path(const std::string& mount_point);

// "" when every runtime that is there answers, and there is one; else why not. For the doctor.
std::string find_fault_of_runtimes(const Settings& settings);

}  // namespace plexvol::pods
