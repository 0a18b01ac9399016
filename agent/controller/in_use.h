// Which volumes Kubernetes takes for mounted on a node that is dead. Pure.
//
// Where Kubernetes attaches, its controller-manager detaches a volume whose pod is gone at once, unless
// the node's status.volumesInUse lists it, which only the node's kubelet changes: then it waits for six
// minutes (1.12 and 1.20: pkg/controller/volume/attachdetach/reconciler; tests/data/kubelet-calls,
// j_node_gone). It also tells a pod elsewhere of a "Multi-Attach error" until then.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace plexvol::controller {

// A JSON patch of the node's status that takes volumes of ours from it, and fails where the list has
// changed since. "": none of them is listed. `names` are those of their PVs, or in the pods that have
// them inline: listed is "plexvol/plexvol/NAME", up to some version between 1.12 and 1.20 with
// "flexvolume-" before it.
std::string to_patch_without(const std::vector<std::string>& listed,
                             const std::set<std::string>& names);

}  // namespace plexvol::controller
