// Which labels the nodes are to have, so that the scheduler knows where a volume can be used. Pure.
//
// The affinity of a PV cannot be changed, but copies move. So a PV asks for a label of the volume's
// own, volume.plexvol.io/<volume>=copy (api/names.h), and the nodes' labels follow the copies. A
// node has it while it has a usable copy, or has the volume mounted: kubelets check the affinity of
// a PV at every mount, also after their own restart.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/api/protocol.h"
#include "agent/kube/objects.h"

namespace plexvol::controller {

// Of nodes, by name.
std::set<std::string> nodes_to_label(const api::VolumeInfo& volume);

// By label: its value, or nullopt where it is to go.
using LabelChanges = std::map<std::string, std::optional<std::string>>;

// What has to change at each node that is in `nodes`. Labels of volumes that are not known go, but
// for those of which nothing can be read. Labels of others are not touched.
std::map<std::string, LabelChanges> find_label_changes(
    const std::map<std::string, api::VolumeInfo>& volumes,
    const std::map<std::string, kube::Words>& labels_by_node);

// A merge patch of a node with these.
std::string to_patch(const LabelChanges& changes);

}  // namespace plexvol::controller
