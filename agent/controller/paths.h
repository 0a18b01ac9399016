// Where the API server has what the controller reads and writes.
#pragma once

#include <string>

#include "agent/kube/objects.h"

namespace plexvol::controller::paths {

inline constexpr const char* kClaims = "/api/v1/persistentvolumeclaims";
inline constexpr const char* kVolumes = "/api/v1/persistentvolumes";
inline constexpr const char* kClasses = "/apis/storage.k8s.io/v1/storageclasses";
inline constexpr const char* kNodes = "/api/v1/nodes";

inline std::string claim(const std::string& ns, const std::string& name) {
  return "/api/v1/namespaces/" + ns + "/persistentvolumeclaims/" + name;
}
inline std::string volume(const std::string& name) {
  return std::string(kVolumes) + '/' + name;
}
inline std::string pod(const std::string& ns, const std::string& name) {
  return "/api/v1/namespaces/" + ns + "/pods/" + name;
}
inline std::string pods_of(const std::string& node) {
  return "/api/v1/pods?fieldSelector=spec.nodeName%3D" + node;
}
inline std::string node(const std::string& name) {
  return std::string(kNodes) + '/' + name;
}
inline std::string status_of_node(const std::string& name) {
  return node(name) + "/status";
}

}  // namespace plexvol::controller::paths
