#include "agent/controller/claims.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/api/text.h"
#include "agent/base/text.h"

namespace plexvol::controller {

const char* const kSelectedNode = "volume.kubernetes.io/selected-node";
const char* const kSelectedNodeAlpha = "volume.alpha.kubernetes.io/selected-node";

namespace {

constexpr std::string_view kPrefix = "pvc-";
constexpr std::uint64_t kSmallest = 16ULL << 20U;  // that an agent makes (api/names.h)
constexpr std::array<const char*, 2> kProvisionerAnnotations{
    "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"};
constexpr std::array<std::string_view, 2> kOfOneNode{"ReadWriteOnce", "ReadWriteOncePod"};

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::InvalidArgument, why);
}

void check_access_modes(const kube::Claim& claim) {
  if (claim.access_modes.empty()) refuse("the claim has no access mode: use ReadWriteOnce");
  for (const std::string& mode : claim.access_modes) {
    if (std::find(kOfOneNode.begin(), kOfOneNode.end(), mode) != kOfOneNode.end()) continue;
    refuse(
        fmt::format("access mode {} is not supported: a volume is mounted on one node at a time; "
                    "use ReadWriteOnce",
                    one_line(mode)));
  }
}

void check_kind(const kube::Claim& claim) {
  check_access_modes(claim);
  if (claim.volume_mode == "Block") {
    refuse("volumeMode Block is not supported by FlexVolume: use Filesystem");
  }
  if (claim.has_selector) {
    refuse("a selector is not supported: new volumes have no labels; create the claim without it");
  }
  if (!claim.data_source.empty()) {
    refuse(fmt::format("data source {} is not supported; create the claim without it",
                       one_line(claim.data_source)));
  }
}

}  // namespace

std::string volume_name(const kube::Claim& claim) {
  return std::string(kPrefix) + claim.meta.uid;
}

std::string claim_uid(const std::string& volume) {
  constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  constexpr std::string_view kHex = "0123456789abcdef";
  if (!volume.starts_with(kPrefix)) return "";
  std::string uid = volume.substr(kPrefix.size());
  if (uid.size() != kShape.size()) return "";
  for (std::size_t i = 0; i < uid.size(); ++i) {
    const bool fits =
        kShape[i] == '-' ? uid[i] == '-' : kHex.find(uid[i]) != std::string_view::npos;
    if (!fits) return "";
  }
  return uid;
}

bool is_waiting_for_us(const kube::Claim& claim) {
  if (!claim.volume_name.empty() || !claim.meta.deleted_at.empty()) return false;
  for (const char* key : kProvisionerAnnotations) {
    const std::string provisioner = claim.meta.annotation(key);
    if (!provisioner.empty()) return provisioner == kProvisioner;
  }
  return false;
}

std::string selected_node(const kube::Claim& claim) {
  const std::string node = claim.meta.annotation(kSelectedNode);
  return node.empty() ? claim.meta.annotation(kSelectedNodeAlpha) : node;
}

api::CreateVolumeRequest volume_for(const kube::Claim& claim,
                                    const kube::StorageClass& storage_class) {
  check_kind(claim);
  const ClassParameters parameters = parse_parameters(storage_class);
  if (storage_class.has_allowed_topologies) {
    refuse(
        fmt::format("StorageClass {}: allowedTopologies is not supported; cordon the nodes that "
                    "are to hold no volumes (plexvol node cordon)",
                    storage_class.meta.name));
  }
  const std::uint64_t bytes = std::max(kube::parse_quantity(claim.requested), kSmallest);
  return {.name = volume_name(claim),
          .size = std::to_string(bytes),
          .replicas = parameters.copies,
          .nodes = {},
          .pool = parameters.pool,
          .fs_type = parameters.fs_type,
          .mkfs_options = parameters.mkfs_options,
          .tenant = claim.meta.ns,
          .first_node = storage_class.waits_for_consumer ? selected_node(claim) : ""};
}

manifest::PersistentVolumeSpec persistent_volume_for(const kube::Claim& claim,
                                                     const kube::StorageClass& storage_class,
                                                     const api::VolumeInfo& volume,
                                                     bool server_knows_affinity) {
  const ClassParameters parameters = parse_parameters(storage_class);
  std::map<std::string, std::string> options{{"volume", volume.name}};
  if (!parameters.mount_options.empty()) options["mountOptions"] = parameters.mount_options;
  manifest::PersistentVolumeSpec spec;
  spec.name = volume.name;
  spec.size_bytes = volume.size_bytes;
  spec.fs_type = volume.fs_type;
  spec.options = options;
  spec.access_modes = claim.access_modes;
  spec.reclaim_policy = storage_class.reclaim_policy;
  spec.storage_class = claim.storage_class;
  // Kubernetes 1.12 takes a PV whose claim it has not heard of for one whose claim is gone, unless
  // the second annotation is there.
  spec.annotations = {{"pv.kubernetes.io/provisioned-by", kProvisioner},
                      {"pv.kubernetes.io/bound-by-controller", "yes"}};
  spec.claim_namespace = claim.meta.ns;
  spec.claim_name = claim.meta.name;
  spec.claim_uid = claim.meta.uid;
  if (server_knows_affinity) {
    spec.affinity.push_back({.label = volume_label(volume.name), .values = {kCopyLabelValue}});
  }
  return spec;
}

}  // namespace plexvol::controller
