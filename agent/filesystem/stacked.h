// Block devices that are stacked on other block devices, or on files of a file system.
#pragma once

#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"

namespace plexvol::filesystem {

struct StackedDevice {
  mounts::DeviceNumber number;
  std::string name;  // "dm-3 (backup)", "loop7"
};

// "drbd1000" of 147:1000; "" when there is no such device.
std::string kernel_name(mounts::DeviceNumber device, const std::string& sys = "/sys");

// Device-mapper targets and the like that have the device open.
std::vector<StackedDevice> list_holders(mounts::DeviceNumber device,
                                        const std::string& sys = "/sys");
std::vector<StackedDevice> list_partitions(mounts::DeviceNumber device,
                                           const std::string& sys = "/sys");

struct Loop {
  mounts::DeviceNumber number;
  std::string name;  // "loop7"
  // As seen from the root of the mount namespace in which it was attached, whichever that was.
  std::string backing_file;
};
// Those that have a file.
std::vector<Loop> list_loops(const std::string& sys = "/sys");

enum class LoopPlace {
  Elsewhere,
  OnDevices,  // its file lies on one of the devices, or is one of them
  Unknown,    // a file system without a device of its own (overlay), or no answer
};
// Where the files of loop devices are, by device number. Uses children that may hang, since the
// kernel asks the file's own file system.
std::vector<LoopPlace> find_loop_places(const std::vector<Loop>& loops,
                                        const std::vector<mounts::DeviceNumber>& devices);

// The kernel has the device's ext4 or xfs mounted, in whatever mount namespace, or in none any
// more.
bool has_filesystem_mounted(mounts::DeviceNumber device, const std::string& sys = "/sys");

}  // namespace plexvol::filesystem
