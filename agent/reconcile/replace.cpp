#include "agent/reconcile/replace.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/placement/placement.h"
#include "agent/reconcile/other_nodes.h"
#include "agent/store/taken.h"

namespace plexvol::reconcile {

namespace {

namespace keys = store::keys;

// Where a copy goes, and the revision of the placements there that this rests on.
struct Chosen {
  std::string node;  // "": nowhere
  std::int64_t placement = 0;
};

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

// Where the backing devices are gone, the same node comes first, with what was put in their place.
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

// Nowhere when no node can, and the volume does without.
Chosen choose_node(const model::Volume& volume, const std::string& here, bool must,
                   store::TypedStore& store) {
  const auto own = store.find_node(here);
  auto barred = placement::bar_cordoned(store.list_cordons());
  for (const std::string& node : volume.former) barred[node] = "its former replica is still there";
  for (const std::string& node : volume.nodes()) barred[node] = "it already has a replica";
  for (const model::Node& node : store.list_nodes()) {
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
                  .nodes = {},
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

// Whether the reason still holds, as conditions of the transaction.
bool require_reason(const std::string& volume, const std::string& peer, PeerFate fate,
                    store::TypedStore& store, store::Change& change) {
  if (peer.empty()) return true;
  if (fate == PeerFate::Unable) return true;  // that it made none is in the volume
  if (fate == PeerFate::BackingGone) {
    // The agent that says so, and still says so.
    const auto session = store.raw().get(keys::alive(peer));
    const auto status = store.raw().get(keys::status(peer, volume));
    if (!session || !status) return false;
    const auto said = model::from_json<model::Status>(status->value);
    change.require(session->key, session->revision).require(status->key, status->revision);
    return said.backing_gone && said.session == session->value;
  }
  if (fate != PeerFate::Drained) change.require(keys::alive(peer), 0);
  if (fate == PeerFate::Gone) return true;
  const auto cordon = store.find_cordon(peer);
  if (!cordon) return false;
  change.require(keys::cordon(peer), cordon->revision);
  return fate == PeerFate::Lost ? cordon->value.forget : cordon->value.drain;
}

std::string reason_of(const std::string& peer, PeerFate fate) {
  if (peer.empty()) return "another node takes the second replica";
  if (fate == PeerFate::Drained) return peer + " is drained";
  if (fate == PeerFate::Unable) return peer + " cannot create its replica";
  if (fate == PeerFate::Lost) return peer + " was forgotten";
  if (fate == PeerFate::BackingGone) return fmt::format("the disk of {} was lost", peer);
  return peer + " has been down for too long";
}

// The former copy stays until the peer's is whole, and its node takes no new one as long as it
// stays. Where that peer is away the two would wait for each other for ever.
bool has_waiting_former(const model::Volume& volume, const std::string& peer,
                        store::TypedStore& store) {
  return std::ranges::any_of(volume.former, [&](const std::string& node) {
    return node != peer && store.is_alive(node) && !store.find_cordon(node);
  });
}

bool may_do_without(const model::Volume& volume, const std::string& peer, PeerFate fate,
                    store::TypedStore& store) {
  if (peer.empty()) return false;
  if (fate == PeerFate::Lost) return true;
  return fate != PeerFate::Drained && has_waiting_former(volume, peer, store);
}

}  // namespace

bool replace_peer(const Wanted& wanted, store::TypedStore& store, arbiter::Arbiter& arbiter,
                  const std::function<bool()>& has_turn) {
  const std::string& name = wanted.volume.name;
  const std::string peer = wanted.volume.peer_of(wanted.here);
  const auto volume = store.find_volume(name);
  const auto current = store.find_current(name);
  const auto attachment = store.find_attachment(name);
  store::Change change;
  const bool serves = attachment && attachment->value.node == peer;
  const bool still_so =
      volume && volume->value.id == wanted.volume.id && !volume->value.deleting &&
      volume->value.peer_of(wanted.here) == peer && current && wanted.current &&
      current->revision == wanted.current_revision && current->value.nodes.contains(wanted.here) &&
      !(serves &&
        (wanted.peer_fate == PeerFate::Drained || wanted.peer_fate == PeerFate::BackingGone)) &&
      (wanted.peer_fate != PeerFate::Unable || is_unmade(volume->value, peer)) &&
      require_reason(name, peer, wanted.peer_fate, store, change);
  if (!still_so)
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently; retrying", name));

  const bool must = !may_do_without(volume->value, peer, wanted.peer_fate, store);
  const auto again = wanted.peer_fate == PeerFate::BackingGone
                         ? choose_same_node(volume->value, peer, store)
                         : std::nullopt;
  const Chosen place = again ? *again : choose_node(volume->value, wanted.here, must, store);
  const std::string& chosen = place.node;
  if (!has_turn()) return false;
  model::Volume next = volume->value;
  std::erase_if(next.replicas, [&](const auto& replica) { return replica.node == peer; });
  if (!chosen.empty()) {
    next.add_replica({.node = chosen, .filled_by_peer = true});
    change.require(keys::placement(chosen), place.placement)
        .put(keys::placement(chosen), volume->value.id);
  }
  if (!peer.empty() && chosen != peer) next.former.insert(peer);
  change.require(keys::volume(name), volume->revision)
      .require(keys::attachment(name), attachment ? attachment->revision : 0)
      .put(keys::volume(name), model::to_json(next))
      .wake(next);
  // Who has no copy any more could never let go of it.
  if (serves) {
    change.remove(keys::attachment(name));
    store.remove_names(attachment->value, name, change);
  }
  if (!arbiter.take_out_with(name, *current, peer, reason_of(peer, wanted.peer_fate), change)) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently; retrying", name));
  }
  log::warn(fmt::format("volume {}: the replica on {} is replaced by one on {}", name,
                        peer.empty() ? "a lost node" : peer,
                        chosen.empty() ? "no other node" : chosen));
  return true;
}

}  // namespace plexvol::reconcile
