// What a claim asks for, as a volume and as a PV. Pure.
//
// Facts: agent/controller/README.md.
#pragma once

#include <string>

#include "agent/api/protocol.h"
#include "agent/controller/storage_class.h"
#include "agent/kube/objects.h"
#include "agent/manifest/persistent_volume.h"

namespace plexvol::controller {

// The name of its volume and of its PV: "pvc-<uid>".
std::string volume_name(const kube::Claim& claim);
// The uid of the claim that a volume of this name was made for; "": for none.
std::string claim_uid(const std::string& volume);

// Kubernetes has left it to us, and it has no volume yet.
bool is_waiting_for_us(const kube::Claim& claim);
// The node that the scheduler has chosen; "": none, or none yet.
std::string selected_node(const kube::Claim& claim);
// The annotations with which the scheduler says so, of all versions.
extern const char* const kSelectedNode;
extern const char* const kSelectedNodeAlpha;

// Throws InvalidArgument for what no volume of ours can be: more than one node at a time, a raw block
// device, a selector, a data source.
api::CreateVolumeRequest volume_for(const kube::Claim& claim,
                                    const kube::StorageClass& storage_class);
manifest::PersistentVolumeSpec persistent_volume_for(const kube::Claim& claim,
                                                     const kube::StorageClass& storage_class,
                                                     const api::VolumeInfo& volume,
                                                     bool server_knows_affinity);

}  // namespace plexvol::controller
