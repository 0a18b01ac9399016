#include "agent/manifest/persistent_volume.h"

#include <doctest/doctest.h>

#include <limits>

using plexvol::manifest::claim_to_json;
using plexvol::manifest::PersistentVolumeSpec;
using plexvol::manifest::to_json;
using plexvol::manifest::to_quantity;

namespace {

PersistentVolumeSpec simple_volume() {
  PersistentVolumeSpec volume;
  volume.name = "pv-1";
  volume.size_bytes = 3ULL << 29;
  volume.options = {{"volume", "data"}};
  return volume;
}

}  // namespace

TEST_CASE("manifest: a size is a whole number of the largest unit that fits exactly") {
  CHECK(to_quantity(0) == "0");
  CHECK(to_quantity(1023) == "1023");
  CHECK(to_quantity(1024) == "1Ki");
  CHECK(to_quantity(10ULL << 30) == "10Gi");
  CHECK(to_quantity(3ULL << 29) == "1536Mi");
  CHECK(to_quantity((1ULL << 30) + 1) == "1073741825");
  CHECK(to_quantity(1'000'000'000'000) == "976562500Ki");
  CHECK(to_quantity(1ULL << 60) == "1Ei");
  CHECK(to_quantity(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
}

TEST_CASE("manifest: what a volume does not have is not in its object") {
  CHECK(to_json(simple_volume()) ==
        R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv-1"},"spec":{)"
        R"("accessModes":["ReadWriteOnce"],"capacity":{"storage":"1536Mi"},)"
        R"("flexVolume":{"driver":"plexvol/plexvol","options":{"volume":"data"}},)"
        R"("persistentVolumeReclaimPolicy":"Retain"}})");
}

TEST_CASE("manifest: a volume with everything") {
  PersistentVolumeSpec volume = simple_volume();
  volume.driver = "a/b";
  volume.fs_type = "xfs";
  volume.access_modes = {"ReadWriteOnce", "ReadOnlyMany"};
  volume.reclaim_policy = "Delete";
  volume.storage_class = "fast";
  volume.annotations = {{"pv.kubernetes.io/provisioned-by", "plexvol.io/flex"}};
  volume.claim_namespace = "shop";
  volume.claim_name = "orders";
  volume.claim_uid = "u-1";
  volume.affinity = {{.label = "volume.plexvol.io/data", .values = {"copy"}},
                     {.label = "zone", .values = {"a", "b"}}};
  volume.read_only = true;
  CHECK(
      to_json(volume) ==
      R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"annotations":)"
      R"({"pv.kubernetes.io/provisioned-by":"plexvol.io/flex"},"name":"pv-1"},"spec":{)"
      R"("accessModes":["ReadWriteOnce","ReadOnlyMany"],"capacity":{"storage":"1536Mi"},)"
      R"("claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"orders",)"
      R"("namespace":"shop","uid":"u-1"},"flexVolume":{"driver":"a/b","fsType":"xfs",)"
      R"("options":{"volume":"data"},"readOnly":true},"nodeAffinity":{"required":)"
      R"({"nodeSelectorTerms":[{"matchExpressions":[{"key":"volume.plexvol.io/data",)"
      R"("operator":"In","values":["copy"]},{"key":"zone","operator":"In","values":["a","b"]}]}]}},)"
      R"("persistentVolumeReclaimPolicy":"Delete","storageClassName":"fast"}})");
}

TEST_CASE("manifest: a claim names its volume, and a class even when it is none") {
  PersistentVolumeSpec volume = simple_volume();
  volume.claim_namespace = "shop";
  volume.claim_name = "orders";
  const auto with_class = [](const std::string& storage_class) {
    return R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"orders",)"
           R"("namespace":"shop"},"spec":{"accessModes":["ReadWriteOnce"],"resources":)"
           R"({"requests":{"storage":"1536Mi"}},"storageClassName":")" +
           storage_class + R"(","volumeName":"pv-1"}})";
  };
  CHECK(claim_to_json(volume) == with_class(""));
  volume.storage_class = "fast";
  CHECK(claim_to_json(volume) == with_class("fast"));
}

TEST_CASE("manifest: bytes that are no UTF-8 never stop it") {
  PersistentVolumeSpec volume = simple_volume();
  volume.fs_type = "\xff";
  CHECK(to_json(volume).find("\xef\xbf\xbd") != std::string::npos);
}
