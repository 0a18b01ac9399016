// What tells this machine from all others, whatever it is called.
#pragma once

#include <string>

namespace plexvol {

// Where the sources are; elsewhere only in tests.
struct MachineFiles {
  std::string host_root = "/proc/1/root";  // of the host, also for an agent in a container
  std::string product_uuid = "/sys/class/dmi/id/product_uuid";
};

// The same after each start: the system's machine-id, else the firmware's, else one that is made up
// and kept in the state directory. "" when not even that one can be written.
std::string find_machine_id(const std::string& state_directory, const MachineFiles& files = {});

}  // namespace plexvol
