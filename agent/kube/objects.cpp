#include "agent/kube/objects.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/kube/json.h"
#include "agent/kube/source.h"

namespace plexvol::kube {

namespace {

constexpr const char* kFlexDriver = "plexvol/plexvol";
constexpr const char* kClassAnnotation = "volume.beta.kubernetes.io/storage-class";
constexpr const char* kMirrorAnnotation = "kubernetes.io/config.mirror";

// As Kubernetes' own volume controller reads it: the annotation counts before the member.
std::string read_class(const Meta& meta, const Fields& spec) {
  const auto found = meta.annotations.find(kClassAnnotation);
  return found != meta.annotations.end() ? found->second : spec.text("storageClassName");
}

std::string read_data_source(const Fields& spec) {
  for (const char* key : {"dataSource", "dataSourceRef"}) {
    const Fields source = spec.object(key);
    if (source.has("name")) return source.text("kind") + ' ' + source.text("name");
  }
  return "";
}

Reference read_reference(const Fields& fields) {
  Reference reference;
  reference.api_version = fields.text("apiVersion");
  reference.kind = fields.text("kind");
  reference.ns = fields.text("namespace");
  reference.name = fields.text("name");
  reference.uid = fields.text("uid");
  reference.resource_version = fields.text("resourceVersion");
  return reference;
}

std::vector<std::string> read_affinity(const Fields& spec) {
  std::vector<std::string> wanted;
  const Fields required = spec.object("nodeAffinity").object("required");
  for (const Fields& term : required.objects("nodeSelectorTerms")) {
    for (const Fields& expression : term.objects("matchExpressions")) {
      const std::string key = expression.text("key");
      const std::string how = expression.text("operator");
      if (how == "Exists") wanted.push_back(key);
      if (how != "In") continue;
      for (const std::string& value : expression.texts("values")) {
        wanted.push_back(fmt::format("{}={}", key, value));
      }
    }
  }
  return wanted;
}

// Expressions of one term all have to hold.
std::vector<std::string> read_hosts(const Fields& term) {
  std::vector<std::string> hosts;
  bool is_first = true;
  for (const Fields& expression : term.objects("matchExpressions")) {
    if (expression.text("key") != kHostNameLabel || expression.text("operator") != "In") continue;
    std::vector<std::string> values = expression.texts("values");
    std::sort(values.begin(), values.end());
    if (is_first) hosts = values;
    std::erase_if(hosts, [&](const std::string& host) {
      return !std::binary_search(values.begin(), values.end(), host);
    });
    is_first = false;
  }
  return hosts;
}

std::vector<std::vector<std::string>> read_affinity_hosts(const Fields& spec) {
  std::vector<std::vector<std::string>> hosts;
  const Fields required = spec.object("nodeAffinity").object("required");
  for (const Fields& term : required.objects("nodeSelectorTerms")) {
    hosts.push_back(read_hosts(term));
  }
  return hosts;
}

void read_volume(const Fields& volume, Pod& pod) {
  if (volume.has("persistentVolumeClaim")) {
    pod.claims.push_back(volume.object("persistentVolumeClaim").text("claimName"));
  } else if (volume.has("ephemeral")) {
    pod.claims.push_back(pod.meta.name + '-' + volume.text("name"));
  } else if (volume.has("flexVolume")) {
    const Fields flex = volume.object("flexVolume");
    if (flex.text("driver") == kFlexDriver) {
      pod.inline_volumes.push_back({volume.text("name"), flex.words("options")});
    }
  } else if (volume.has("hostPath")) {
    pod.has_host_path = true;
  }
}

Reference refer_to(const Meta& meta, const char* kind, const char* api_version) {
  return {api_version, kind, meta.ns, meta.name, meta.uid, meta.resource_version};
}

}  // namespace

std::string Meta::annotation(const std::string& key) const {
  const auto found = annotations.find(key);
  return found == annotations.end() ? "" : found->second;
}

template <>
Claim from_json<Claim>(const std::string& text) {
  const Source source = read_source(Claim::kKind, text);
  const Fields spec = source.part("spec");
  Claim claim;
  claim.meta = source.meta;
  claim.volume_name = spec.text("volumeName");
  claim.storage_class = read_class(claim.meta, spec);
  claim.access_modes = spec.texts("accessModes");
  claim.volume_mode = spec.text("volumeMode");
  claim.requested = spec.object("resources").object("requests").text_or_number("storage");
  claim.has_selector = spec.has("selector");
  claim.data_source = read_data_source(spec);
  const Fields status = source.part("status");
  claim.phase = status.text("phase");
  claim.capacity = status.object("capacity").text_or_number("storage");
  return claim;
}

template <>
StorageClass from_json<StorageClass>(const std::string& text) {
  const Source source = read_source(StorageClass::kKind, text);
  const Fields fields = source.top();
  StorageClass result;
  result.meta = source.meta;
  result.provisioner = fields.text("provisioner");
  result.parameters = fields.words("parameters");
  if (fields.has("reclaimPolicy")) result.reclaim_policy = fields.text("reclaimPolicy");
  result.waits_for_consumer = fields.text("volumeBindingMode") == "WaitForFirstConsumer";
  result.mount_options = fields.texts("mountOptions");
  result.has_allowed_topologies = !fields.objects("allowedTopologies").empty();
  return result;
}

template <>
PersistentVolume from_json<PersistentVolume>(const std::string& text) {
  const Source source = read_source(PersistentVolume::kKind, text);
  const Fields spec = source.part("spec");
  PersistentVolume volume;
  volume.meta = source.meta;
  volume.claim = read_reference(spec.object("claimRef"));
  volume.phase = source.part("status").text("phase");
  volume.reclaim_policy = spec.text("persistentVolumeReclaimPolicy");
  volume.storage_class = read_class(volume.meta, spec);
  volume.capacity = spec.object("capacity").text_or_number("storage");
  const Fields flex = spec.object("flexVolume");
  volume.flex_driver = flex.text("driver");
  volume.flex_options = flex.words("options");
  volume.affinity = read_affinity(spec);
  volume.affinity_hosts = read_affinity_hosts(spec);
  return volume;
}

template <>
Node from_json<Node>(const std::string& text) {
  const Source source = read_source(Node::kKind, text);
  const Fields status = source.part("status");
  Node node;
  node.meta = source.meta;
  for (const Fields& condition : status.objects("conditions")) {
    if (condition.text("type") == "Ready") node.ready = condition.text("status") == "True";
  }
  for (const Fields& taint : source.part("spec").objects("taints")) {
    node.taints.push_back({taint.text("key"), taint.text("value"), taint.text("effect")});
  }
  node.volumes_in_use = status.texts("volumesInUse");
  return node;
}

template <>
Pod from_json<Pod>(const std::string& text) {
  const Source source = read_source(Pod::kKind, text);
  const Fields spec = source.part("spec");
  const Fields status = source.part("status");
  Pod pod;
  pod.meta = source.meta;
  pod.node = spec.text("nodeName");
  pod.phase = status.text("phase");
  for (const Fields& volume : spec.objects("volumes")) read_volume(volume, pod);
  pod.is_mirror = pod.meta.annotations.contains(kMirrorAnnotation);
  const std::vector<Fields> owners = source.part("metadata").objects("ownerReferences");
  pod.has_controller = std::any_of(owners.begin(), owners.end(),
                                   [](const Fields& owner) { return owner.flag("controller"); });
  for (const Fields& condition : status.objects("conditions")) {
    if (condition.text("type") == "PodScheduled" && condition.text("status") == "False") {
      pod.ready_reason = condition.text("reason");
    }
  }
  return pod;
}

Reference to_reference(const Claim& claim) {
  return refer_to(claim.meta, Claim::kKind, "v1");
}

Reference to_reference(const PersistentVolume& volume) {
  return refer_to(volume.meta, PersistentVolume::kKind, "v1");
}

Reference to_reference(const Node& node) {
  return refer_to(node.meta, Node::kKind, "v1");
}

Reference to_reference(const Pod& pod) {
  return refer_to(pod.meta, Pod::kKind, "v1");
}

}  // namespace plexvol::kube
