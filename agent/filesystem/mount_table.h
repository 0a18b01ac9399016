// Where a device is mounted.
#pragma once

#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"

namespace plexvol::filesystem {

// A device, and the source of a tmpfs that stands in for it (agent/mounts/guard.h), "" for none.
struct MountedThing {
  mounts::DeviceNumber device;
  std::string placeholder;
};
// The mount points of each of them in the mount namespace of process 1 only, by one reading: cheap.
// The last 1024, when there are more: those are the ones to be unmounted first.
std::vector<std::vector<std::string>> list_mounts(const std::vector<MountedThing>& things);
std::vector<std::string> list_mounts(unsigned major, unsigned minor,
                                     const std::string& placeholder = "");
// Any process sees a mount of the device, or the kernel has its file system mounted without one:
// then it was checked by whoever mounted it, and must be neither checked nor formatted.
bool is_mounted_anywhere(unsigned major, unsigned minor);

}  // namespace plexvol::filesystem
