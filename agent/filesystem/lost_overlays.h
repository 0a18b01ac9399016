// Who may keep a file system mounted that no mount namespace shows any more: a container within a
// pod's container has mounted an overlay over directories of the volume and does not see the volume
// itself. When the outer container ends first, the overlay is all that is left of it.
#pragma once

#include <vector>

#include "agent/filesystem/find_use.h"
#include "agent/process/namespaces.h"

namespace plexvol::filesystem {

// For a device that the kernel has mounted, although no namespace shows a mount of it and no user
// was found. An overlay is lost when a layer of it is found neither in the host's namespace nor in
// any that shows the overlay, as that of the engine that mounted it does: the layer may be on the
// device. A path that exists elsewhere tells nothing, since other pods have the same ones. Where a
// layer cannot be looked at in time, or cannot be told, the overlay counts as lost, too. The root
// of the host does not: images that start from an initramfs have one whose layers nobody sees.
//
// One user with pid 0, the kernel, when a living process is in a namespace with a lost overlay, or
// has a file open through one: it may use the device, and is not to be killed on a mere suspicion.
// Else the doomed processes of such namespaces (process::is_doomed): they keep it mounted, but
// cannot hear how a write ended. None: no lost overlay explains it. Throws as
// mounts::for_each_mount() and is_doomed() do.
std::vector<User> find_lost_overlay_users(const process::MountNamespaces& spaces);

}  // namespace plexvol::filesystem
