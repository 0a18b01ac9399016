// Kubernetes objects as far as Plexvol reads them. Facts: docs of the API (core/v1, storage/v1).
//
// Decoding is tolerant of members that are not known, and strict about those that are needed:
// metadata.name. A member of the wrong type throws Error(Internal) naming kind, object and member.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace plexvol::kube {

// The label by which PVs and pods name nodes.
inline constexpr const char* kHostNameLabel = "kubernetes.io/hostname";

using Words = std::map<std::string, std::string>;

struct Meta {
  std::string ns;  // "" for what belongs to no namespace
  std::string name;
  std::string uid;
  std::string resource_version;
  Words labels;
  Words annotations;
  std::vector<std::string> finalizers;
  std::string deleted_at;  // metadata.deletionTimestamp; "": it is not being deleted
  std::string created_at;

  // "namespace/name", or "name".
  std::string key() const { return ns.empty() ? name : ns + '/' + name; }
  // "" when there is none.
  std::string annotation(const std::string& key) const;
};

// For an event's involvedObject, and a PV's claimRef.
struct Reference {
  std::string api_version;
  std::string kind;
  std::string ns;
  std::string name;
  std::string uid;
  std::string resource_version;
};

struct Claim {
  static constexpr const char* kKind = "PersistentVolumeClaim";
  Meta meta;
  std::string volume_name;
  // The annotation volume.beta.kubernetes.io/storage-class, else spec.storageClassName: as
  // Kubernetes' own volume controller reads it.
  std::string storage_class;
  std::vector<std::string> access_modes;
  std::string volume_mode;  // "" reads as Filesystem
  std::string requested;    // spec.resources.requests.storage, a quantity
  bool has_selector = false;
  std::string data_source;  // "VolumeSnapshot snap-1" of dataSource, dataSourceRef; "": none
  std::string phase;        // Pending, Bound, Lost
  std::string capacity;     // status.capacity.storage, a quantity; "" until it is bound
};

struct StorageClass {
  static constexpr const char* kKind = "StorageClass";
  Meta meta;
  std::string provisioner;
  Words parameters;
  std::string reclaim_policy = "Delete";
  bool waits_for_consumer = false;  // volumeBindingMode
  std::vector<std::string> mount_options;
  bool has_allowed_topologies = false;
};

struct PersistentVolume {
  static constexpr const char* kKind = "PersistentVolume";
  Meta meta;
  Reference claim;  // spec.claimRef; empty name: none
  std::string phase;
  std::string reclaim_policy;
  std::string storage_class;  // read as a claim's
  std::string capacity;       // a quantity
  std::string flex_driver;    // spec.flexVolume.driver; "" when it is of another kind
  Words flex_options;
  // In spec.nodeAffinity.required: keys of the labels that it asks for, and values, each "key" or
  // "key=value".
  std::vector<std::string> affinity;
  // For each of its terms, of which a node has to satisfy one: the values of the label
  // kubernetes.io/hostname of which it has to have one. Empty: the term does not ask for it.
  std::vector<std::vector<std::string>> affinity_hosts;
};

struct Taint {
  std::string key;
  std::string value;
  std::string effect;
};

struct Node {
  static constexpr const char* kKind = "Node";
  Meta meta;
  bool ready = false;  // the condition Ready is True
  std::vector<Taint> taints;
  std::vector<std::string> volumes_in_use;  // in the order of the status
};

// One in a pod's spec, of Plexvol's driver.
struct InlineVolume {
  std::string name;  // in the pod
  Words options;
  friend bool operator==(const InlineVolume&, const InlineVolume&) = default;
};

struct Pod {
  static constexpr const char* kKind = "Pod";
  Meta meta;
  std::string node;                 // spec.nodeName
  std::string phase;                // status.phase
  std::vector<std::string> claims;  // names, in the pod's namespace; of generic ephemeral ones too
  std::vector<InlineVolume> inline_volumes;
  bool has_host_path = false;
  bool is_mirror = false;       // of a static pod: annotation kubernetes.io/config.mirror
  bool has_controller = false;  // an ownerReference with controller: true
  std::string ready_reason;     // of PodScheduled=False: Unschedulable
};

// Each throws as the head of this file says.
template <class T>
T from_json(const std::string& text);
template <>
Claim from_json<Claim>(const std::string& text);
template <>
StorageClass from_json<StorageClass>(const std::string& text);
template <>
PersistentVolume from_json<PersistentVolume>(const std::string& text);
template <>
Node from_json<Node>(const std::string& text);
template <>
Pod from_json<Pod>(const std::string& text);

Reference to_reference(const Claim& claim);
Reference to_reference(const PersistentVolume& volume);
Reference to_reference(const Node& node);
Reference to_reference(const Pod& pod);

// "1.5Gi", "500M", "1e9", "1500m" in bytes, rounded up to a whole one (resource.Quantity). Throws
// InvalidArgument for what is none, is negative, or is more than 2^63 - 1.
std::uint64_t parse_quantity(const std::string& text);

}  // namespace plexvol::kube
