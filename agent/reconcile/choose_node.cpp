#include "agent/reconcile/choose_node.h"

#include <fmt/core.h>

#include <map>
#include <vector>

#include "agent/placement/placement.h"
#include "agent/store/taken.h"

namespace plexvol::reconcile {

namespace {

namespace keys = store::keys;

// Many volumes look for a place at the same moment: what has been promised to one is not free for
// the next, though the node has not made it yet.
Chosen place(const placement::PlacementRequest& request, store::TypedStore& store) {
  std::map<std::string, std::int64_t> placements;
  const auto placed = placement::place_within_promises(
      request, store.list_nodes(), store.list_alive_nodes(), [&](const std::string& node) {
        const auto last = store.raw().get(keys::placement(node));
        placements[node] = last ? last->revision : 0;
        return placement::promises_of(node, store.list_volumes_on(node));
      });
  const std::string& node = placed.nodes.front();
  return {.node = node, .placement = placements.at(node)};
}

}  // namespace

std::optional<Chosen> choose_same_node(const model::Volume& volume, const std::string& node,
                                       store::TypedStore& store) {
  try {
    return place({.size_bytes = volume.size_bytes,
                  .replicas = 1,
                  .mirrored = true,
                  .drbd = "",
                  .pool = volume.pool,
                  .nodes = {node},
                  .asking = "",
                  .barred = placement::bar_cordoned(store.list_cordons()),
                  .promised = {}},
                 store);
  } catch (const Error&) {
    return std::nullopt;  // its reason is no one's: another node is asked
  }
}

Chosen choose_node(const model::Volume& volume, const std::string& here, const std::string& to,
                   bool must, store::TypedStore& store) {
  const auto own = store.find_node(here);
  // Once it is gone for good, any node is better than none.
  std::vector<std::string> named;
  if (!to.empty() && store.find_node(to)) named = {to};
  if (!named.empty() && must && !store.is_alive(to)) {
    throw Error(
        ErrorCode::OutOfSpace,
        fmt::format("cannot create a second replica: the agent on {}, which is to have it, "
                    "is not running; for another node: `plexvol volume set {} --copies {}`, "
                    "then `plexvol volume move`",
                    to, volume.name, volume.wanted_copies()));
  }
  auto barred = placement::bar_for_another(volume, store.list_cordons());
  for (const model::Node& node : store.list_nodes()) {
    if (!volume.slot()) break;  // it gets one that nobody uses
    const store::Taken taken = store::find_taken(store, node.name);
    if (taken.minors.contains(volume.minor) || taken.ports.contains(volume.port)) {
      barred.try_emplace(node.name,
                         fmt::format("another program uses DRBD minor {} or port {} there",
                                     volume.minor, volume.port));
    }
  }
  try {
    return place({.size_bytes = volume.size_bytes,
                  .replicas = 1,
                  .mirrored = true,
                  .drbd = own ? own->drbd_version : "",
                  .pool = volume.pool,
                  .nodes = named,
                  .asking = "",
                  .barred = barred,
                  .promised = {}},
                 store);
  } catch (const Error& error) {
    if (must)
      throw Error(error.code(), fmt::format("cannot create a second replica: {}", error.what()));
    // The store that does not answer says nothing about room.
    if (error.code() == ErrorCode::Unavailable) throw;
    return {};
  }
}

}  // namespace plexvol::reconcile
