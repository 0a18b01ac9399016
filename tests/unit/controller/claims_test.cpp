#include "agent/controller/claims.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/api/error.h"

using namespace plexvol;

namespace {

constexpr const char* kUid = "0e3a7b52-5d6c-4f0e-9a51-7c1de22a9b10";

kube::Claim claim() {
  kube::Claim made;
  made.meta.ns = "prod";
  made.meta.name = "data";
  made.meta.uid = kUid;
  made.meta.annotations["volume.beta.kubernetes.io/storage-provisioner"] = controller::kProvisioner;
  made.storage_class = "fast";
  made.access_modes = {"ReadWriteOnce"};
  made.requested = "1Gi";
  return made;
}

kube::StorageClass storage_class() {
  kube::StorageClass made;
  made.meta.name = "fast";
  made.provisioner = controller::kProvisioner;
  made.waits_for_consumer = true;
  made.parameters = {{"copies", "2"}, {"pool", "thin"}};
  made.mount_options = {"noatime"};
  return made;
}

std::string refusal_of_claim(const kube::Claim& wanted) {
  try {
    controller::volume_for(wanted, storage_class());
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::InvalidArgument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a volume is named after its claim, and tells which that was") {
  CHECK(controller::volume_name(claim()) == std::string("pvc-") + kUid);
  CHECK(controller::claim_uid(std::string("pvc-") + kUid) == kUid);
  CHECK(controller::claim_uid("pvc-1").empty());
  CHECK(controller::claim_uid(kUid).empty());
  CHECK(controller::claim_uid(std::string("pvc-") + kUid + "0").empty());
  CHECK(controller::claim_uid("pvc-0e3a7b52-5d6c-4f0e-9a51-7c1de22a9bXY").empty());
}

TEST_CASE("a claim waits for us when Kubernetes has said so, and it has no volume") {
  CHECK(controller::is_waiting_for_us(claim()));
  kube::Claim other = claim();
  other.meta.annotations["volume.kubernetes.io/storage-provisioner"] = "another.io/driver";
  CHECK_FALSE(controller::is_waiting_for_us(other));  // the newer word counts
  other = claim();
  other.meta.annotations.clear();
  CHECK_FALSE(controller::is_waiting_for_us(other));
  other = claim();
  other.volume_name = "pv-1";
  CHECK_FALSE(controller::is_waiting_for_us(other));
  other = claim();
  other.meta.deleted_at = "2026-01-31T10:00:00Z";
  CHECK_FALSE(controller::is_waiting_for_us(other));
}

TEST_CASE("the scheduler's choice gets the first copy") {
  kube::Claim chosen = claim();
  chosen.meta.annotations["volume.alpha.kubernetes.io/selected-node"] = "n1";
  CHECK(controller::volume_for(chosen, storage_class()).first_node == "n1");
  chosen.meta.annotations["volume.kubernetes.io/selected-node"] = "n2";
  CHECK(controller::volume_for(chosen, storage_class()).first_node == "n2");
  kube::StorageClass immediate = storage_class();
  immediate.waits_for_consumer = false;
  CHECK(controller::volume_for(chosen, immediate).first_node.empty());
}

TEST_CASE("a claim becomes a volume of its namespace") {
  const api::CreateVolumeRequest request = controller::volume_for(claim(), storage_class());
  CHECK(request.name == std::string("pvc-") + kUid);
  CHECK(request.size == "1073741824");
  CHECK(request.replicas == 2);
  CHECK(request.pool == "thin");
  CHECK(request.tenant == "prod");
  kube::Claim small = claim();
  small.requested = "1";
  CHECK(controller::volume_for(small, storage_class()).size == "16777216");
}

TEST_CASE("what no volume of ours can be is refused") {
  kube::Claim other = claim();
  other.access_modes = {"ReadWriteOnce", "ReadWriteMany"};
  CHECK(
      refusal_of_claim(other) ==
      "access mode ReadWriteMany is not supported: a volume is mounted on one node at a time; use "
      "ReadWriteOnce");
  other.access_modes = {"ReadWriteOncePod"};
  CHECK(refusal_of_claim(other).empty());
  other.access_modes = {};
  CHECK_FALSE(refusal_of_claim(other).empty());
  other = claim();
  other.volume_mode = "Block";
  CHECK(refusal_of_claim(other) ==
        "volumeMode Block is not supported by FlexVolume: use Filesystem");
  other = claim();
  other.has_selector = true;
  CHECK(refusal_of_claim(other) ==
        "a selector is not supported: new volumes have no labels; create the claim without it");
  other = claim();
  other.data_source = "VolumeSnapshot snap-1";
  CHECK(refusal_of_claim(other) ==
        "data source VolumeSnapshot snap-1 is not supported; create the claim without it");
  other = claim();
  other.requested = "much";
  CHECK_FALSE(refusal_of_claim(other).empty());
}

TEST_CASE("a PV says what its volume is, and asks for the volume's own label") {
  api::VolumeInfo volume;
  volume.name = controller::volume_name(claim());
  volume.size_bytes = 2ULL << 30U;
  volume.fs_type = "ext4";
  auto spec = controller::persistent_volume_for(claim(), storage_class(), volume, true);
  CHECK(spec.name == volume.name);
  CHECK(spec.size_bytes == volume.size_bytes);
  CHECK(spec.fs_type == "ext4");
  CHECK(spec.options ==
        std::map<std::string, std::string>{{"volume", volume.name}, {"mountOptions", "noatime"}});
  CHECK(spec.claim_uid == kUid);
  CHECK(spec.annotations.at("pv.kubernetes.io/provisioned-by") == controller::kProvisioner);
  CHECK(spec.reclaim_policy == "Delete");
  REQUIRE(spec.affinity.size() == 1);
  CHECK(spec.affinity.front().label == "volume.plexvol.io/" + volume.name);
  spec = controller::persistent_volume_for(claim(), storage_class(), volume, false);
  CHECK(spec.affinity.empty());
}
