#include "agent/kube/objects.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/api/error.h"

namespace plexvol::kube {

namespace {

template <class T>
std::string refusal(const std::string& text) {
  try {
    from_json<T>(text);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a claim") {
  const auto claim = from_json<Claim>(R"({
    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "shop", "uid": "u-1", "resourceVersion": "17",
      "labels": {"app": "shop"}, "annotations": {"volume.kubernetes.io/selected-node": "n1"},
      "finalizers": ["kubernetes.io/pvc-protection"], "creationTimestamp": "2026-01-31T10:00:00Z",
      "deletionTimestamp": "2026-01-31T11:00:00Z", "ownerReferences": null},
    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeName": "pvc-1",
      "volumeMode": "Block", "resources": {"requests": {"storage": "10Gi", "other": "1"}},
      "selector": {}, "dataSource": null,
      "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
        "name": "snap-1"}},
    "status": {"phase": "Bound"}})");
  CHECK(claim.meta.key() == "shop/data");
  CHECK(claim.meta.uid == "u-1");
  CHECK(claim.meta.resource_version == "17");
  CHECK(claim.meta.labels == Words{{"app", "shop"}});
  CHECK(claim.meta.annotation("volume.kubernetes.io/selected-node") == "n1");
  CHECK(claim.meta.annotation("other").empty());
  CHECK(claim.meta.finalizers == std::vector<std::string>{"kubernetes.io/pvc-protection"});
  CHECK(claim.meta.created_at == "2026-01-31T10:00:00Z");
  CHECK(claim.meta.deleted_at == "2026-01-31T11:00:00Z");
  CHECK(claim.access_modes == std::vector<std::string>{"ReadWriteOnce"});
  CHECK(claim.storage_class == "fast");
  CHECK(claim.volume_name == "pvc-1");
  CHECK(claim.volume_mode == "Block");
  CHECK(claim.requested == "10Gi");
  CHECK(claim.has_selector);
  CHECK(claim.data_source == "VolumeSnapshot snap-1");
  CHECK(claim.phase == "Bound");
  const Reference reference = to_reference(claim);
  CHECK(reference.api_version == "v1");
  CHECK(reference.kind == "PersistentVolumeClaim");
  CHECK(reference.ns == "shop");
  CHECK(reference.name == "data");
  CHECK(reference.uid == "u-1");
  CHECK(reference.resource_version == "17");
}

TEST_CASE("a claim that has nothing but a name, and a number for a quantity") {
  const auto bare = from_json<Claim>(R"({"metadata": {"name": "data"}})");
  CHECK(bare.meta.key() == "data");
  CHECK(bare.storage_class.empty());
  CHECK(bare.data_source.empty());
  CHECK_FALSE(bare.has_selector);
  const auto number = from_json<Claim>(
      R"({"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": 5}}}})");
  CHECK(number.requested == "5");
}

TEST_CASE("the old annotation of a claim's class counts before the member, as in Kubernetes") {
  const auto claim = from_json<Claim>(R"({
    "metadata": {"name": "data",
      "annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
    "spec": {"storageClassName": "new"}})");
  CHECK(claim.storage_class == "old");
}

TEST_CASE("a storage class") {
  const auto plain = from_json<StorageClass>(
      R"({"metadata": {"name": "fast"}, "provisioner": "plexvol.io/flex"})");
  CHECK(plain.provisioner == "plexvol.io/flex");
  CHECK(plain.reclaim_policy == "Delete");
  CHECK_FALSE(plain.waits_for_consumer);
  CHECK_FALSE(plain.has_allowed_topologies);
  const auto full = from_json<StorageClass>(R"({"metadata": {"name": "fast"},
    "provisioner": "x", "parameters": {"replicas": "2"}, "reclaimPolicy": "Retain",
    "volumeBindingMode": "WaitForFirstConsumer", "mountOptions": ["noatime"],
    "allowedTopologies": [{"matchLabelExpressions": []}]})");
  CHECK(full.parameters == Words{{"replicas", "2"}});
  CHECK(full.reclaim_policy == "Retain");
  CHECK(full.waits_for_consumer);
  CHECK(full.mount_options == std::vector<std::string>{"noatime"});
  CHECK(full.has_allowed_topologies);
}

TEST_CASE("a persistent volume") {
  const auto volume = from_json<PersistentVolume>(R"({"metadata": {"name": "pvc-1"},
    "spec": {"capacity": {"storage": "10Gi"}, "persistentVolumeReclaimPolicy": "Delete",
      "storageClassName": "fast",
      "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
        "name": "data", "uid": "u-1", "resourceVersion": "17"},
      "flexVolume": {"driver": "plexvol/plexvol", "options": {"volume": "pvc-1"}},
      "nodeAffinity": {"required": {"nodeSelectorTerms": [
        {"matchExpressions": [
          {"key": "volume.plexvol.io/pvc-1", "operator": "In", "values": ["copy", "mount"]},
          {"key": "disk", "operator": "Exists"},
          {"key": "old", "operator": "DoesNotExist"}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}},
    "status": {"phase": "Released"}})");
  CHECK(volume.claim.ns == "shop");
  CHECK(volume.claim.name == "data");
  CHECK(volume.claim.uid == "u-1");
  CHECK(volume.phase == "Released");
  CHECK(volume.reclaim_policy == "Delete");
  CHECK(volume.storage_class == "fast");
  CHECK(volume.capacity == "10Gi");
  CHECK(volume.flex_driver == "plexvol/plexvol");
  CHECK(volume.flex_options == Words{{"volume", "pvc-1"}});
  CHECK(volume.affinity == std::vector<std::string>{"volume.plexvol.io/pvc-1=copy",
                                                    "volume.plexvol.io/pvc-1=mount", "disk"});
  CHECK(to_reference(volume).kind == "PersistentVolume");
  const auto other = from_json<PersistentVolume>(
      R"({"metadata": {"name": "nfs"}, "spec": {"nfs": {"server": "s"}, "claimRef": null}})");
  CHECK(other.flex_driver.empty());
  CHECK(other.claim.name.empty());
}

TEST_CASE("the nodes that a persistent volume asks for by name, term by term") {
  const auto hosts_of = [](const std::string& terms) {
    return from_json<PersistentVolume>(
               R"({"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {
                   "nodeSelectorTerms": )" +
               terms + "}}}}")
        .affinity_hosts;
  };
  using Hosts = std::vector<std::vector<std::string>>;
  CHECK(hosts_of("[]").empty());
  CHECK(hosts_of(R"([
    {"matchExpressions": [
      {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2", "n1", "n3"]},
      {"key": "disk", "operator": "In", "values": ["ssd"]},
      {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n4", "n3", "n1"]}]},
    {"matchExpressions": [
      {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n5"]}]},
    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n6"]}]}])") ==
        Hosts{{"n1", "n3"}, {}, {}});
}

TEST_CASE("a node") {
  const auto node = from_json<Node>(R"({"metadata": {"name": "n1"},
    "spec": {"taints": [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown",
      "effect": "NoExecute"}, {"key": "a", "effect": "NoSchedule"}]},
    "status": {"conditions": [{"type": "MemoryPressure", "status": "False"},
      {"type": "Ready", "status": "True"}],
      "volumesInUse": ["flexvolume-plexvol/plexvol/db-1"]}})");
  CHECK(node.ready);
  REQUIRE(node.taints.size() == 2);
  CHECK(node.taints[0].key == "node.kubernetes.io/out-of-service");
  CHECK(node.taints[0].value == "nodeshutdown");
  CHECK(node.taints[1].effect == "NoSchedule");
  CHECK(node.volumes_in_use == std::vector<std::string>{"flexvolume-plexvol/plexvol/db-1"});
  CHECK(to_reference(node).ns.empty());
  const auto silent = from_json<Node>(R"({"metadata": {"name": "n1"},
    "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})");
  CHECK_FALSE(silent.ready);
}

TEST_CASE("a pod") {
  const auto pod = from_json<Pod>(R"({"metadata": {"name": "web-0", "namespace": "shop",
      "ownerReferences": [{"kind": "X", "name": "x"},
        {"kind": "StatefulSet", "name": "web", "controller": true}]},
    "spec": {"nodeName": "n1", "volumes": [
      {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
      {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
      {"name": "c", "flexVolume": {"driver": "plexvol/plexvol", "options": {"volume": "db-1"}}},
      {"name": "d", "flexVolume": {"driver": "other/other", "options": {"volume": "db-2"}}},
      {"name": "e", "emptyDir": {}}, {"name": "f", "hostPath": {"path": "/x"}}]},
    "status": {"phase": "Pending", "conditions": [
      {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}})");
  CHECK(pod.meta.key() == "shop/web-0");
  CHECK(pod.node == "n1");
  CHECK(pod.phase == "Pending");
  CHECK(pod.claims == std::vector<std::string>{"data", "web-0-b"});
  CHECK(pod.inline_volumes == std::vector<InlineVolume>{{"c", {{"volume", "db-1"}}}});
  CHECK(pod.has_host_path);
  CHECK(pod.has_controller);
  CHECK_FALSE(pod.is_mirror);
  CHECK(pod.ready_reason == "Unschedulable");
  const auto mirror = from_json<Pod>(R"({"metadata": {"name": "etcd-n1",
      "annotations": {"kubernetes.io/config.mirror": "h"},
      "ownerReferences": [{"kind": "Node", "name": "n1", "controller": false}]},
    "status": {"conditions": [{"type": "PodScheduled", "status": "True", "reason": "x"}]}})");
  CHECK(mirror.is_mirror);
  CHECK_FALSE(mirror.has_controller);
  CHECK_FALSE(mirror.has_host_path);
  CHECK(mirror.ready_reason.empty());
}

TEST_CASE("a broken object is refused by its kind, its name and the member") {
  CHECK(refusal<Pod>(R"({"metadata": {"name": "web", "namespace": "shop"},
                         "spec": {"volumes": [{"name": "a"}, {"flexVolume":
                           {"driver": "plexvol/plexvol", "options": {"size": 5}}}]}})") ==
        "Pod shop/web: spec.volumes[1].flexVolume.options.size is number, expected a string");
  CHECK(refusal<Claim>(R"({"metadata": {"name": "data"}, "spec": {"accessModes": "all"}})") ==
        "PersistentVolumeClaim data: spec.accessModes is string, expected a list");
  CHECK(refusal<Claim>(R"({"metadata": {"name": "data"}, "spec": {"accessModes": ["a", 1]}})") ==
        "PersistentVolumeClaim data: spec.accessModes[1] is number, expected a string");
  CHECK(refusal<Node>(R"({"metadata": {"name": "n1"}, "status": []})") ==
        "Node n1: status is array, expected an object");
  CHECK(refusal<Node>(R"({"metadata": {"name": "n1"}, "spec": {"taints": [7]}})") ==
        "Node n1: spec.taints[0] is number, expected an object");
  CHECK(refusal<Pod>(
            R"({"metadata": {"name": "web", "ownerReferences": [{"controller": "yes"}]}})") ==
        "Pod web: metadata.ownerReferences[0].controller is string, expected true or false");
  CHECK(refusal<Node>(R"({"metadata": {"name": 5}})") ==
        "Node : metadata.name is number, expected a string");
  CHECK(refusal<Node>(R"({"metadata": {}})") == "Node: metadata.name is missing");
  CHECK(refusal<Node>("{}") == "Node: metadata.name is missing");
  CHECK(refusal<Node>("[]") == "Node: expected a JSON object, got \"[]\"");
  CHECK(refusal<Node>("").starts_with("Node: expected a JSON object"));
  CHECK(refusal<Node>("{\"metadata\": {\"name\": \"\xff\"}}").starts_with("Node: expected a JSON"));
}

TEST_CASE("what is nested too deeply is left out, and hides nothing else") {
  const std::string deep = R"({"metadata": {"name": "n1", "managedFields": )" +
                           std::string(100'000, '[') + std::string(100'000, ']') +
                           R"(}, "status": {"volumesInUse": ["v"]}})";
  CHECK(from_json<Node>(deep).volumes_in_use == std::vector<std::string>{"v"});
}

}  // namespace plexvol::kube
