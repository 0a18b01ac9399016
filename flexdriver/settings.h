// `.plexvol.json` beside the executable. Every key may be absent:
//   {"socket": "/run/plexvol/plexvold.sock",   where the agent is looked for first
//    "timeout_seconds": 90,                    how long a call may take, 0.1 to 540
//    "agent_seconds": 20,                      and while no agent listens, 0.1 to 540
//    "attach": false,                          the capabilities that `init` answers, in
//    "selinuxRelabel": true,                   Kubernetes' words
//    "supportsMetrics": true,
//    "fsGroup": true,
//    "requiresFSResize": true}
// The name begins with a dot, so that the kubelet does not probe the driver again when the file
// changes.
//
// Beside it `.plexvol.json.good` is the one that was installed last. It is used while the file is
// missing or broken: the default of `attach` in the place of "true" would leave volumes attached
// that nobody can detach any more (contract fact 17). Only the installer writes it: a driver that
// wrote into its own directory would be probed again each time (fact 14).
#pragma once

#include <string>
#include <vector>

#include "agent/base/deadline.h"
#include "agent/client/agent_client.h"

namespace plexvol::driver {

// Kubernetes 1.12 reads the first two, 1.13 and later all; unknown ones are ignored (contract facts
// 16 and "Other versions").
struct Capabilities {
  bool attach = false;
  bool selinux_relabel = true;
  bool supports_metrics = true;
  bool fs_group = true;
  // With it a claim that is made larger brings `expandfs`; without, it stays FileSystemResizePending
  // and its volume as it is.
  bool requires_fs_resize = true;
};

struct Settings {
  std::vector<std::string> sockets;  // in the order in which they are tried
  std::chrono::milliseconds timeout{90'000};
  std::chrono::milliseconds agent_timeout = client::kAgentTimeout;
  Capabilities capabilities;
  // What is wrong with the file, for people: a call must go on without it.
  std::string problem;
};

constexpr const char* kSettingsFile = "/.plexvol.json";
constexpr const char* kGoodSettingsFile = "/.plexvol.json.good";

// Never throws: what is broken or out of range is left at its default and named in `problem`.
Settings parse_settings(const std::string& text, const std::string& directory);

// Of the driver's directory, by whichever of the two files can be used.
Settings load_settings(const std::string& directory);
// Of the directory that the executable is in.
Settings load_settings();

}  // namespace plexvol::driver
