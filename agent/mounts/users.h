// Who keeps a mount from being unmounted.
#pragma once

#include <string>

#include "agent/base/deadline.h"
#include "agent/mounts/mountinfo.h"

namespace plexvol::mounts {

// "process 812 (mysqld), process 913 (bash)", at most five of them, or what is mounted below it; ""
// when nothing was found before the deadline. Reads /proc only.
std::string describe_users(const MountEntry& entry, base::Deadline deadline);

}  // namespace plexvol::mounts
