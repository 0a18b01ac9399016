// The directory that is mounted on.
#pragma once

#include <string>

#include "agent/base/deadline.h"
#include "agent/base/descriptor.h"

namespace plexvol::mounts {

// Where the locks are. Not beside the target, where the kubelet takes every name for a volume, and
// not the target itself, which cannot be reached any more once it is mounted on.
constexpr const char* kLockParent = "/run/plexvol";
constexpr const char* kLockDirectory = "/run/plexvol/targets";

// The path as the kernel's mount table has it: symbolic links in its parents resolved (the
// kubelet's directory may be one), the last part left as it is, since it may be a mount that must
// not be touched. A parent that does not exist is left as it is, too. Throws InvalidArgument for a
// path that is not absolute, is "/", or holds "..".
std::string resolve_target(const std::string& path);

// Makes the directory as the kubelet would (0750, with its parents). Throws InvalidArgument when
// something else stands there. Not to be called for what is mounted already.
void make_target(const std::string& target);

// One call at a time for each target, also beyond the end of a call whose system call still hangs
// in a child process: the child holds the lock as well.
class TargetLock {
 public:
  // Throws Unavailable when another call keeps it until the deadline, Internal when there can be no
  // lock at all.
  TargetLock(const std::string& target, base::Deadline deadline);
  TargetLock(TargetLock&&) = default;
  TargetLock(const TargetLock&) = delete;
  TargetLock& operator=(const TargetLock&) = delete;
  TargetLock& operator=(TargetLock&&) = delete;
  ~TargetLock();

  // A child still works on the target: the file that stands for the lock must stay.
  void leave_to_child() { path_.clear(); }
  // The lock itself is held until the last process that has it ends.
  void remove();

 private:
  std::string path_;
  base::Descriptor file_;
};

}  // namespace plexvol::mounts
