// The guards of pods' directories (agent/mounts/guard.h), when the driver is removed: nobody else
// would take them away, and kubelets could never remove the directories.
#pragma once

#include <string>

namespace plexvol::driver {

struct GuardPlace {
  std::string root;             // where the host's / is seen
  std::string proc;             // where the host's /proc is seen
  std::string state_directory;  // of the agent, on the host: it knows the kubelets' directories
};

// Takes every guard away that no volume is mounted on, in the host's mount namespace where that can
// be entered, else below `root`. Throws Internal with the first that could not be.
void clear_guards(const GuardPlace& place);

}  // namespace plexvol::driver
