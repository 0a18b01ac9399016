// Taking a volume off a target. Needs no agent, and never looks into what is mounted there.
#pragma once

#include <string>

#include "agent/base/deadline.h"
#include "agent/mounts/steps.h"

namespace plexvol::mounts {

// Unmounts what is mounted on the target, however often (a mount that was repeated is stacked).
// Nothing mounted there, or no such directory, is a success. Only file systems of block devices are
// unmounted, since a volume is one, and the empty tmpfs of agent/mounts/guard.h: anything else on
// top is somebody else's, and Conflict. A pod's directory has no guard afterwards. Conflict also
// when it is in use, naming who does; Unavailable when umount(2) does not return before the
// deadline; else Internal with the kernel's word.
void unmount_target(const std::string& target, base::Deadline deadline, const Steps& steps);

}  // namespace plexvol::mounts
