// Where this machine's kubelet, and the controller-manager if it runs here, look for FlexVolume
// drivers.
//
// Distributions differ (kubernetes documentation of each; kubeadm, GKE, AKS, RKE, kubespray), so
// the running process is asked first: its --volume-plugin-dir, the controller-manager's
// --flex-volume-plugin-dir, in /proc. The kubelet's configuration file has a key volumePluginDir
// (1.19 and later). Its built-in default is kDefaultPluginDir.
//
// Only processes that root of this machine has started are asked (host_processes.h), and only
// directories that root alone can change are answered (trusted_dir.h). A controller-manager that is
// a pod (kubeadm) looks to the kernel like any other pod, so it is not asked: where its directory
// is another than the kubelet's, --plugin-dir names it.
#pragma once

#include <string>
#include <vector>

#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

constexpr const char* kDefaultPluginDir = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

struct PluginDir {
  std::string path;  // on the host
  std::string how;   // how it was found, for messages
  // The controller-manager's, which calls a driver only when Kubernetes attaches (contract fact
  // 37).
  bool only_to_attach = false;
};

struct PluginDirs {
  std::vector<PluginDir> dirs;     // each once, the kubelet's first; at least one
  std::vector<std::string> notes;  // what was passed over, and why: one line each, a few of them
};

// `proc` is the host's /proc, `root` the host's /. Throws NotFound or Conflict, with what to do,
// when no kubelet runs here that could be asked and the directory cannot be told otherwise, or when
// that of the kubelet may not be used.
PluginDirs find_plugin_dirs(const std::string& proc, const TrustedDir& root);

}  // namespace plexvol::driver
