// Takes the driver away again, while kubelets run.
//
// A kubelet forgets a driver when it sees its file or its folder removed. The kernel says that a
// folder is gone only when the last process that was started from it has ended: a folder that was
// made again by then is taken for the one that is gone, and the kubelet is blind to the new driver
// (CONTRACT.md, "Other versions"). An empty folder that stays is worse: kubelets
// up to 1.12 then skip all drivers when they start (kubernetes#60694). So the folder goes, but
// never while a call still runs from it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/mounts/mountinfo.h"
#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

// Throws Conflict while a call of the driver in `plugin_dir`, or of one that has been removed
// already, is under way on this node: one that runs this file, or holds the lock of its target.
// `proc` is the host's /proc, `root` the host's /.
void refuse_while_called(const std::string& proc, const TrustedDir& root,
                         const std::string& plugin_dir);

// The whole folder of the driver, with the agent's socket. false: there was none. The driver is
// withdrawn first, so that no new call can begin; then refuse_while_called() and `refuse` are
// asked, and where one of them throws, the driver is back in its place.
bool remove_driver(const std::string& proc, const TrustedDir& root, const std::string& plugin_dir,
                   const std::function<void()>& refuse);

// In /run of `root`: the locks of this driver's calls, and the socket of an agent that was killed.
// false: an agent answers there still; its socket stays.
bool remove_runtime_files(const TrustedDir& root);

// Pure. A mount that kubelets have made by our driver, and only it can unmount: for a pod, or of a
// device (contract fact 26).
bool is_mount_of_driver(const mounts::MountEntry& entry);

struct DriverMounts {
  std::vector<std::string> points;
  std::size_t volumes = 0;  // fewer: one volume may be mounted for several pods
};

// Pure. Of all mounts in the table that are our driver's.
DriverMounts mounts_of_driver(const std::vector<mounts::MountEntry>& table);

}  // namespace plexvol::driver
