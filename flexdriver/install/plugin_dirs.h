// Where this machine's kubelet, and the controller-manager if it runs here, look for FlexVolume
// drivers.
//
// Distributions differ (kubernetes documentation of each; kubeadm, GKE, AKS, RKE, kubespray), so
// the running process is asked first: its --volume-plugin-dir, the controller-manager's
// --flex-volume-plugin-dir, in /proc. The kubelet's configuration file has a key volumePluginDir
// (1.19 and later). Its built-in default is kDefaultPluginDir.
#pragma once

#include <string>
#include <vector>

namespace plexvol::driver {

constexpr const char* kDefaultPluginDir = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

struct PluginDir {
  std::string path;  // on the host
  std::string how;   // it was found: for a person
  // The controller-manager's, which calls a driver only when Kubernetes attaches (contract fact
  // 37).
  bool only_to_attach = false;
};

// `proc` is the host's /proc, `root` where the host's / is to be found ("" for /). Each directory
// once, the kubelet's first. Throws NotFound or Conflict, with what to do, when no kubelet runs
// here that could be asked and it cannot be told otherwise.
std::vector<PluginDir> find_plugin_dirs(const std::string& proc, const std::string& root);

}  // namespace plexvol::driver
