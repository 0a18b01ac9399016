// Puts the driver where the kubelet looks for it, and takes it away again, while kubelets call it.
//
// What is built on (field lessons 1 and 2, kubernetes#60694 and #60861): the kubelet watches the
// plugin directory, runs whatever appears in a folder of it, and forgets a driver whose file is
// missing for a moment; names with a leading dot are left alone. So a complete executable is made
// beside the old one, tried out there, and renamed over it once.
//
//   DIR/plexvol~plexvol/plexvol             the driver
//   DIR/plexvol~plexvol/.plexvol.json       its settings
//   DIR/plexvol~plexvol/.plexvol.previous   the executable before this one
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "flexdriver/mounts/mount_table.h"

namespace plexvol::driver {

struct DropSettings {
  std::optional<bool> attach;
  std::optional<std::string> socket;
  std::optional<double> timeout_seconds;
};

enum class DropResult { Installed, Replaced, Unchanged };

// `plugin_dir` as this process sees it. `executable` is the new driver. Settings that are not given
// stay as they are. Throws, with what to do, when the directory cannot be written to, or when what
// was dropped does not answer `init` from there; then what was there before is there again.
DropResult drop_driver(const std::string& plugin_dir, const std::string& executable,
                       const DropSettings& settings);

// The executable before this one is the driver again, and this one is the one before. Throws
// NotFound when there is none.
void roll_back(const std::string& plugin_dir);

// A copy of the executable for the kernel, which takes fewer than 80 characters and knows only the
// host's own paths. Replaced as the driver is.
void drop_helper(const std::string& path, const std::string& executable);

// The whole folder of the driver, with the agent's socket. false: there was none.
bool remove_driver(const std::string& plugin_dir);

// In /run of `root`: the locks of this driver's calls, and the socket of an agent that was killed.
// false: an agent answers there still; its socket stays.
bool remove_runtime_files(const std::string& root);

// Mount points of kubelets whose volumes only our driver can unmount: of pods, and of devices
// (contract fact 26).
std::vector<std::string> mounts_of_driver(const std::vector<MountEntry>& table);

}  // namespace plexvol::driver
