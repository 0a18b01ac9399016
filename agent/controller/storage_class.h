// What a StorageClass of ours asks for. Pure.
#pragma once

#include <string>

#include "agent/kube/objects.h"

namespace plexvol::controller {

// The class's `provisioner`, and what a claim's PV says it was provisioned by.
inline constexpr const char* kProvisioner = "plexvol.io/flexvolume";

struct ClassParameters {
  unsigned copies = 1;
  std::string pool;     // "": the only pool, or the one named "default"
  std::string fs_type;  // "": ext4
  std::string mkfs_options;
  std::string mount_options;  // the parameter and the class's own mountOptions, by commas
};

// Parameters: copies, pool, fsType (or csi.storage.k8s.io/fstype), mkfsOptions, mountOptions. Throws
// InvalidArgument for another one, naming those that there are, and for a value that is none.
ClassParameters parse_parameters(const kube::StorageClass& storage_class);

}  // namespace plexvol::controller
