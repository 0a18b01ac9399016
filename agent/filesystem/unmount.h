// Takes a mount down.
#pragma once

#include <string>

namespace plexvol::filesystem {

// umount2(2) without force or detach, in process 1's mount namespace. false: busy. true also when
// nothing was mounted there (any more). Throws Internal for anything else. Done in a child with a
// time limit, since umount of a frozen file system hangs: then Unavailable.
bool unmount_in_host(const std::string& mount_point);

}  // namespace plexvol::filesystem
