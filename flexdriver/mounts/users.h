// Who keeps a mount from being unmounted.
#pragma once

#include <string>

#include "agent/mounts/mountinfo.h"
#include "flexdriver/deadline.h"

namespace plexvol::driver {

// "process 812 (mysqld), process 913 (bash)", at most five of them, or what is mounted below it; ""
// when nothing was found before the deadline. Reads /proc only.
std::string describe_users(const mounts::MountEntry& entry, Deadline deadline);

}  // namespace plexvol::driver
