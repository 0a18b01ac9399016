#include "agent/controller/provisioner.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/names.h"
#include "agent/base/text.h"
#include "agent/controller/paths.h"
#include "agent/log.h"

namespace plexvol::controller {

namespace {

std::string nodes_text(const api::VolumeInfo& volume) {
  std::vector<std::string> nodes;
  for (const api::ReplicaInfo& replica : volume.replicas) nodes.push_back(replica.node);
  return base::join(nodes);
}

std::string success_text(const kube::Claim& claim, const api::VolumeInfo& volume) {
  std::string text = fmt::format(
      "created volume {}: {} in pool {}, {} on {}", volume.name, size_to_text(volume.size_bytes),
      volume.pool, volume.copies == 1 ? "one copy" : fmt::format("{} copies", volume.copies),
      nodes_text(volume));
  const std::uint64_t asked = kube::parse_quantity(claim.requested);
  if (volume.size_bytes > asked) {
    text += fmt::format(" (size rounded up from {})", claim.requested);
  }
  return text;
}

// For a user who wonders whether to make the claim again.
std::string what_next(ErrorCode code) {
  const bool may_pass = code == ErrorCode::Unavailable || code == ErrorCode::OutOfSpace;
  return may_pass ? "; retrying" : "";
}

// What is wrong with a volume that nobody has asked for by its name is wrong with the class.
Error of_class(const kube::StorageClass& storage_class, const Error& error) {
  const bool is_at_fault =
      error.code() == ErrorCode::NotFound || error.code() == ErrorCode::InvalidArgument;
  if (!is_at_fault) return error;
  return {error.code(), fmt::format("StorageClass {}: {}", storage_class.meta.name, error.what())};
}

}  // namespace

Provisioner::Outcome Provisioner::look_at(const std::string& claim_key) {
  const auto claim = parts_.claims.find(claim_key);
  if (!claim || !is_waiting_for_us(*claim)) return Outcome::Done;
  if (parts_.volumes.find(volume_name(*claim))) return Outcome::Done;
  const auto storage_class = parts_.classes.find(claim->storage_class);
  // Kubernetes itself has found the class a moment ago: it comes, or it was deleted.
  if (!storage_class || storage_class->provisioner != kProvisioner) return Outcome::Waits;
  if (storage_class->waits_for_consumer && selected_node(*claim).empty()) return Outcome::Waits;
  const log::LogScope scope("claim", claim_key);
  try {
    return provision(*claim, *storage_class);
  } catch (const Error& error) {
    tell_failure(*claim, error.what() + what_next(error.code()));
    return Outcome::Failed;
  }
}

Provisioner::Outcome Provisioner::provision(const kube::Claim& claim,
                                            const kube::StorageClass& storage_class) {
  const api::CreateVolumeRequest request = volume_for(claim, storage_class);
  api::VolumeInfo volume;
  try {
    volume = parts_.agent.create(request);
  } catch (const Error& error) {
    // This code says that there is room when another node comes first; with any other code a node
    // that the scheduler chooses instead would do no better.
    if (error.code() != ErrorCode::OutOfSpace || request.first_node.empty()) {
      throw of_class(storage_class, error);
    }
    reject_node(claim, request.first_node, error.what());
    return Outcome::Waits;
  }
  parts_.known.learn(volume);
  // The label comes before the PV that asks for it, or the scheduler finds no node for the pod.
  if (parts_.server_knows_affinity && !parts_.labels.is_labelled(volume)) return Outcome::Waits;
  // Else the volume is removed as one that belongs to no claim.
  if (!is_still_wanted(claim)) return Outcome::Done;
  store_volume(claim, storage_class, volume);
  return Outcome::Done;
}

// By the API server's own word: a claim that was deleted meanwhile, and perhaps created again.
bool Provisioner::is_still_wanted(const kube::Claim& claim) {
  try {
    const auto now = kube::from_json<kube::Claim>(
        parts_.client.get(paths::claim(claim.meta.ns, claim.meta.name)));
    return now.meta.uid == claim.meta.uid && is_waiting_for_us(now);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::NotFound) return false;
    throw;
  }
}

void Provisioner::store_volume(const kube::Claim& claim, const kube::StorageClass& storage_class,
                               const api::VolumeInfo& volume) {
  const auto spec =
      persistent_volume_for(claim, storage_class, volume, parts_.server_knows_affinity);
  try {
    parts_.client.create(paths::kVolumes, manifest::to_json(spec));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::AlreadyExists) throw;
    const auto found =
        kube::from_json<kube::PersistentVolume>(parts_.client.get(paths::volume(volume.name)));
    if (found.claim.uid == claim.meta.uid) return;
    throw Error(
        ErrorCode::Conflict,
        fmt::format("PersistentVolume {} exists already and is not this claim's", volume.name));
  }
  parts_.events.tell(kube::to_reference(claim), kube::EventType::Normal, "ProvisioningSucceeded",
                     success_text(claim, volume));
  log::info("created a PersistentVolume", {{"volume", volume.name}});
}

void Provisioner::reject_node(const kube::Claim& claim, const std::string& node,
                              const std::string& why) {
  const nlohmann::json patch{
      {"metadata",
       {{"resourceVersion", claim.meta.resource_version},
        {"annotations", {{kSelectedNode, nullptr}, {kSelectedNodeAlpha, nullptr}}}}}};
  tell_failure(claim, fmt::format("{}; asking the scheduler for another node than {}", why, node));
  try {
    parts_.client.patch(paths::claim(claim.meta.ns, claim.meta.name), kube::PatchKind::Merge,
                        patch.dump());
  } catch (const Error& error) {
    // It was changed meanwhile, or is gone: the change brings the next look.
    if (error.code() != ErrorCode::Conflict && error.code() != ErrorCode::NotFound) throw;
  }
}

void Provisioner::tell_failure(const kube::Claim& claim, const std::string& why) {
  parts_.events.tell(kube::to_reference(claim), kube::EventType::Warning, "ProvisioningFailed",
                     why);
  log::warn(fmt::format("cannot provision: {}", why));
}

}  // namespace plexvol::controller
