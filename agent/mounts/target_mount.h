// A volume's device mounted on a target, or nothing. A pod's directory is guarded before anything
// is mounted on it, and is not when nothing stays mounted (agent/mounts/guard.h).
#pragma once

#include <memory>
#include <string>

#include "agent/base/deadline.h"
#include "agent/mounts/mount_flags.h"
#include "agent/mounts/steps.h"
#include "agent/mounts/target.h"

namespace plexvol::mounts {

class Child;

struct MountOrder {
  std::string volume;
  std::string device;  // a link; it must lead to the device major:minor
  unsigned major = 0;
  unsigned minor = 0;
  std::string target;  // as resolve_target answers it
  std::string fs_type;
  MountFlags flags;
  std::string data;
  // For `mountdevice`: the target is a kubelet's directory of a device, and gets a placeholder
  // instead of the device (see agent/mounts/guard.h).
  bool placeholder = false;
};

// Mounted from the constructor on. It stays only after keep(): until then it is undone, by the
// destructor, or by the child process when the driver is killed. So a call that did not succeed
// leaves nothing mounted, which the kubelet would take for a success (contract fact 27).
class TargetMount {
 public:
  // Nothing is done when the device is mounted there already in the way that is asked for. Throws
  // Conflict when something else is, or when the device's number is another one; Internal with the
  // kernel's word; Unavailable when mount(2) does not return before the deadline.
  TargetMount(const MountOrder& order, base::Deadline deadline, const Steps& steps);
  TargetMount(const TargetMount&) = delete;
  TargetMount& operator=(const TargetMount&) = delete;
  ~TargetMount();

  // Throws Internal when the mount is gone after all.
  void keep(base::Deadline deadline);
  // Why it could not be undone, or "". Does nothing to a mount that was there before.
  std::string undo(base::Deadline deadline);

 private:
  void mount(const MountOrder& order, base::Deadline deadline, const Steps& steps);

  TargetLock lock_;
  std::unique_ptr<Child>
      child_;  // it holds the mount back until keep(); none when it was there before
};

// Throws InvalidArgument when nothing can be mounted on the target, so that the agent is not asked
// in vain.
void check_target(const std::string& target);

// After a `mount` that failed before anything was mounted: takes away the guard of a former call
// that was killed, with the directory, as the kubelet would have done (contract fact 27). A
// directory that something is mounted on, that is not empty or not a pod's stays as it is.
void give_up_target(const std::string& target, const Steps& steps);

}  // namespace plexvol::mounts
