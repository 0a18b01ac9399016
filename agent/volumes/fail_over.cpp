#include "agent/volumes/fail_over.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "agent/api/names.h"
#include "agent/volumes/lookup.h"

namespace plexvol::volumes {

namespace {

namespace keys = store::keys;

[[noreturn]] void refuse(const std::string& volume, const std::string& why) {
  throw Error(ErrorCode::Conflict, fmt::format("volume {}: {}", volume, why));
}

// That counts, and can go on without the node. To be asked after the set was read, which is what the
// transaction compares.
bool has_survivor(const model::Volume& volume, const model::Current& current,
                  const std::string& node, Releases& releases) {
  const std::vector<std::string> nodes = volume.nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](const std::string& other) {
    return other != node && current.nodes.contains(other) &&
           releases.is_cut_off(volume.name, other);
  });
}

}  // namespace

void fail_over(store::TypedStore& store, arbiter::Arbiter& arbiter, Releases& releases,
               const std::string& name, const std::string& node) {
  check_volume_name(name);
  check_node_name(node);
  const model::Volume volume = get_volume(store, name);
  const auto attachment = store.find_attachment(name);
  const auto current = store.find_current(name);
  const bool is_attached = attachment && attachment->value.node == node;
  if (!current) refuse(name, "it has no current set in the store");
  if (!is_attached && !current->value.nodes.contains(node)) return;
  if (attachment && !is_attached) {
    refuse(name, fmt::format("it is attached to {}, not to {}", attachment->value.node, node));
  }
  if (!releases.is_gone(node)) refuse(name, fmt::format("the agent of {} runs", node));
  if (!has_survivor(volume, current->value, node, releases)) {
    refuse(name, fmt::format("no other current copy is up and has lost its connection to {}: the "
                             "node may be running, or its copy is the only one",
                             node));
  }
  store::Change change;
  change.require(keys::alive(node), 0);
  if (attachment) {
    change.require(keys::attachment(name), attachment->revision)
        .remove(keys::attachment(name))
        .wake(volume);
    store.remove_names(attachment->value, name, change);
  }
  if (!arbiter.take_out_with(name, *current, node,
                             fmt::format("{} is down, and its pods are to move", node), change)) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently; try again", name));
  }
}

}  // namespace plexvol::volumes
