#include "agent/controller/pod_choice.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/controller/volume_of.h"

namespace plexvol::controller {

namespace {

struct Uses {
  std::set<std::string> volumes;
  std::string foreign;  // a claim whose volume is not ours, or not known
};

Uses find_uses(const kube::Pod& pod, const VolumeOfClaim& volume_of) {
  Uses uses;
  for (const std::string& claim : pod.claims) {
    const auto volume = volume_of(claim);
    if (volume && !volume->empty()) {
      uses.volumes.insert(*volume);
    } else if (uses.foreign.empty()) {
      uses.foreign = claim;
    }
  }
  for (const kube::InlineVolume& volume : pod.inline_volumes) {
    const std::string name = controller::volume_of(volume);
    if (!name.empty()) uses.volumes.insert(name);
  }
  return uses;
}

// By itself: a Job counts such pods, and would run another one for each that is deleted.
bool has_ended(const kube::Pod& pod) {
  return (pod.phase == "Succeeded" || pod.phase == "Failed") && pod.meta.deleted_at.empty();
}

}  // namespace

std::optional<PodChoice> choose(const kube::Pod& pod, const VolumeOfClaim& volume_of,
                                const std::set<std::string>& moved) {
  if (has_ended(pod)) return std::nullopt;
  const Uses uses = find_uses(pod, volume_of);
  const auto is_moved = [&](const std::string& volume) { return moved.contains(volume); };
  if (std::none_of(uses.volumes.begin(), uses.volumes.end(), is_moved)) return std::nullopt;
  PodChoice choice{.volumes = uses.volumes, .left_alone = ""};
  const std::string asked = pod.meta.annotation(kFailoverAnnotation);
  const auto stays = std::find_if_not(uses.volumes.begin(), uses.volumes.end(), is_moved);
  if (asked == "off") {
    choice.left_alone = fmt::format("its annotation {} is off", kFailoverAnnotation);
  } else if (pod.is_mirror) {
    choice.left_alone = "it is a static pod of its node";
  } else if (stays != uses.volumes.end()) {
    choice.left_alone = fmt::format("its volume {} has no other copy that can be used", *stays);
  } else if (asked == "on") {
    return choice;
  } else if (!pod.has_controller) {
    choice.left_alone = "no controller would create it again";
  } else if (!uses.foreign.empty()) {
    choice.left_alone =
        fmt::format("it uses the claim {}, whose volume is not Plexvol's", uses.foreign);
  } else if (pod.has_host_path) {
    choice.left_alone = "it uses a hostPath";
  }
  return choice;
}

}  // namespace plexvol::controller
