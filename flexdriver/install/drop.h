// Puts the driver where the kubelet looks for it, while kubelets call it. Taking it away again:
// remove.h.
//
// What is built on (field lessons 1 and 2, kubernetes#60694 and #60861): the kubelet watches the
// plugin directory, runs whatever appears in a folder of it, and forgets a driver whose file is
// missing for a moment; names with a leading dot are left alone. So a complete executable is made
// beside the old one, tried out there, and renamed over it once.
//
//   DIR/plexvol~plexvol/plexvol             the driver
//   DIR/plexvol~plexvol/.plexvol.json       its settings, and beside them .plexvol.json.good
//   DIR/plexvol~plexvol/.plexvol.previous   the executable before this one
//
// Everything on the way there must be root's alone (trusted_dir.h). An executable that is not is
// neither executed nor kept for a roll-back.
#pragma once

#include <optional>
#include <string>

#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

inline constexpr const char* kDriverFolder = "plexvol~plexvol";
inline constexpr const char* kDriverName = "plexvol";

struct DropSettings {
  std::optional<bool> attach;
  std::optional<std::string> socket;
  std::optional<double> timeout_seconds;
};

enum class DropResult { Installed, Replaced, Unchanged };

// `plugin_dir` is a path on the host, `root` the host's /; `executable` is the new driver, for this
// process. Settings that are not given stay as they are. Throws, with what to do, when the
// directory cannot be written to or is not root's alone, or when what was dropped does not answer
// `init` from there; then what was there before is there again.
DropResult drop_driver(const TrustedDir& root, const std::string& plugin_dir,
                       const std::string& executable, const DropSettings& settings);

// The executable before this one is the driver again, and this one is the one before. Throws
// NotFound when there is none, Conflict when others than root can have put it there.
void roll_back(const TrustedDir& root, const std::string& plugin_dir);

// A copy of the executable for the kernel, which takes fewer than 80 characters and knows only the
// host's own paths. Replaced as the driver is.
void drop_helper(const TrustedDir& root, const std::string& path, const std::string& executable);
// No matter whether it is there.
void remove_helper(const TrustedDir& root, const std::string& path);

}  // namespace plexvol::driver
