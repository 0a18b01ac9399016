#include "agent/volumes/delete.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/model/codec.h"
#include "agent/pods/pods.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

using store::Change;
namespace keys = store::keys;

// What a mount call attached stays attached while a mount is left of a pod that is gone: its node
// is asked to take that down, and refuses while anybody may use the volume. A mount that no kubelet
// made is somebody's, also while no process uses it.
void Deletion::release_for_deletion(const model::Volume& volume,
                                    const store::Versioned<model::Attachment>& attachment,
                                    const Call& call) {
  const std::string& node = attachment.value.node;
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::Conflict,
                fmt::format("volume {} is attached to {}{}", volume.name, node, why));
  };
  if (attachment.value.holder == model::Holder::Attach) {
    refuse(" and cannot be deleted; detach it first");
  }
  if (releases_.is_gone(node)) {
    refuse(", whose agent is down, so it may be in use there; start that agent");
  }
  const auto status = releases_.ask_holder(volume, attachment, call);
  if (!status) return;
  if (!status->ready && status->mounts.empty()) {
    refuse(fmt::format(", which cannot tell whether it is mounted: {}; fix that first",
                       status->error));
  }
  for (const std::string& mount : status->mounts) {
    if (pods::uid_in_path(mount)) continue;
    refuse(fmt::format(" and mounted on {0}; unmount it there: `plexvol unmount {0}`", mount));
  }
  const auto now = store_.find_attachment(volume.name);
  if (!now || now->revision != status->attachment_revision) return;  // mounted again meanwhile
  releases_.request(volume, *now, fmt::format("volume {} is to be deleted", volume.name), "", call);
}

std::vector<std::string> Deletion::remove(const std::string& name, const Call& call) {
  const std::string id = get_volume(store_, name).id;
  call.is_about(name);
  while (true) {
    const auto volume = store_.find_volume(name);
    if (!volume || volume->value.id != id || volume->value.deleting) break;
    if (const auto attachment = store_.find_attachment(name)) {
      release_for_deletion(volume->value, *attachment, call);
      continue;
    }
    model::Volume next = volume->value;
    next.deleting = true;
    if (store_.commit(Change()
                          .require(keys::volume(name), volume->revision)
                          .require(keys::attachment(name), 0)
                          .put(keys::volume(name), model::to_json(next))
                          .wake(next))) {
      break;
    }
  }
  Awaiter awaiter(store_.raw(), {keys::volume(name), keys::alive("")});
  using Nodes = std::vector<std::string>;
  const auto remaining = [&]() -> Nodes {
    const auto volume = store_.find_volume(name);
    if (!volume || volume->value.id != id) return Nodes{};
    const auto nodes = volume->value.concerned_nodes();
    return {nodes.begin(), nodes.end()};
  };
  const auto gone = [&]() -> std::optional<Nodes> {
    Nodes away = remaining();
    const auto alive = store_.list_alive_nodes();
    // This node works on it, too, though its own key may come a moment after its agent.
    const bool somebody_works = std::any_of(away.begin(), away.end(), [&](const auto& node) {
      return node == settings_.here || alive.contains(node);
    });
    if (somebody_works) return std::nullopt;
    return away;
  };
  return awaiter.until<Nodes>(call, gone, [&] {
    std::string text = fmt::format("waiting for volume {} to be deleted", name);
    for (const std::string& node : remaining()) {
      const auto status = store_.find_status(node, name);
      text += "; " + node +
              (status && !status->error.empty() ? ": " + status->error
                                                : " has not removed its part yet");
    }
    return text;
  });
}

}  // namespace plexvol::volumes
