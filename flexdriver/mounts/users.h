// Who keeps a mount from being unmounted.
#pragma once

#include <string>

#include "flexdriver/deadline.h"
#include "flexdriver/mounts/mount_table.h"

namespace plexvol::driver {

// "process 812 (mysqld), process 913 (bash)", at most five of them, or what is mounted below it; ""
// when nothing was found before the deadline. Reads /proc only.
std::string describe_users(const MountEntry& entry, Deadline deadline);

}  // namespace plexvol::driver
