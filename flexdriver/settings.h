// `.plexvol.json` beside the executable. Every key may be absent:
//   {"socket": "/run/plexvol/plexvold.sock",   where the agent is looked for first
//    "timeout_seconds": 90,                    how long a call may take, 0.1 to 540
//    "attach": false,                          the capabilities that `init` answers, named as
//    Kubernetes names them "selinuxRelabel": true, "supportsMetrics": true, "fsGroup": true}
// The name begins with a dot, so that the kubelet does not probe the driver anew when the file
// changes.
#pragma once

#include <string>
#include <vector>

#include "flexdriver/deadline.h"

namespace plexvol::driver {

// Kubernetes 1.12 reads the first two, 1.13 and later all; unknown ones are ignored (contract facts
// 16 and section 2).
struct Capabilities {
  bool attach = false;
  bool selinux_relabel = true;
  bool supports_metrics = true;
  bool fs_group = true;
  // A volume cannot be grown yet. With true, a claim that is made larger would show its new size
  // although nothing has grown; with false it stays FileSystemResizePending, which is the truth.
  bool requires_fs_resize = false;
};

struct Settings {
  std::vector<std::string> sockets;  // in the order in which they are tried
  milliseconds timeout{90'000};
  Capabilities capabilities;
  std::string problem;  // why the file is not used, for the trace: a call must go on without it
};

// Never throws: what is broken or out of range is left at its default and named in `problem`.
Settings parse_settings(const std::string& text, const std::string& directory);

// Of the directory that the executable is in.
Settings load_settings();

}  // namespace plexvol::driver
