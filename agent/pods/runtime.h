// What the node's container runtimes say of a pod: Kubernetes' CRI, gRPC on Unix sockets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/pods/pods.h"

namespace plexvol::pods {

struct Sandbox {
  std::string name;  // "namespace/name" of its pod; "" when that is no name of Kubernetes'
  bool ready = false;
};

// Of the pod, as all runtimes know them. Throws Unavailable when a runtime whose socket exists does
// not answer within two seconds, or none was found: then an empty list would prove nothing. The
// error begins with a subject: "the container runtime does not answer: <socket>: <why>".
std::vector<Sandbox> list_sandboxes(const Settings& settings, const std::string& uid);

// Where this process finds a path of the host's mount namespace. Symbolic links are followed as the
// host would follow them: /var/run, which leads to /run, must not lead to this container's own. Not
// found, or too many links: the path as far as it could be followed.
std::string find_in_host(const std::string& host_root, const std::string& path);

}  // namespace plexvol::pods
