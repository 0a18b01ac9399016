#include "agent/reconcile/replace.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/log.h"
#include "agent/model/codec.h"
#include "agent/reconcile/choose_node.h"
#include "agent/reconcile/other_nodes.h"

namespace plexvol::reconcile {

namespace {

namespace keys = store::keys;

// Whether the reason still holds, as conditions of the transaction.
bool require_reason(const std::string& volume, const std::string& peer, PeerFate fate,
                    store::TypedStore& store, store::Change& change) {
  if (peer.empty()) return true;
  // It is in the volume that it made none, or that it is to leave.
  if (fate == PeerFate::Unable || fate == PeerFate::Moved || fate == PeerFate::Unwanted)
    return true;
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
  if (fate == PeerFate::Moved) return fmt::format("the replica on {} is moved", peer);
  if (fate == PeerFate::Unwanted) return fmt::format("the replica on {} is no longer wanted", peer);
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
  if (fate == PeerFate::Moved) return false;
  return fate != PeerFate::Drained && has_waiting_former(volume, peer, store);
}

// The pod there is not to lose its volume.
bool waits_for_its_use(PeerFate fate) {
  return moves(fate) || fate == PeerFate::BackingGone || fate == PeerFate::Unwanted;
}

bool is_still_to_leave(const model::Volume& volume, const std::string& peer, PeerFate fate) {
  if (fate != PeerFate::Moved && fate != PeerFate::Unwanted) return true;
  return volume.leaving == peer && (volume.copies_asked == 1) == (fate == PeerFate::Unwanted);
}

Chosen choose_for(const Wanted& wanted, const model::Volume& volume, const std::string& peer,
                  store::TypedStore& store) {
  if (wanted.peer_fate == PeerFate::Unwanted) return {};
  if (wanted.peer_fate == PeerFate::BackingGone) {
    if (const auto again = choose_same_node(volume, peer, store)) return *again;
  }
  const bool must = !may_do_without(volume, peer, wanted.peer_fate, store);
  const std::string to = wanted.peer_fate == PeerFate::Moved ? volume.arriving : "";
  return choose_node(volume, wanted.here, to, must, store);
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
  const bool still_so = volume && volume->value.id == wanted.volume.id && !volume->value.deleting &&
                        volume->value.peer_of(wanted.here) == peer && current && wanted.current &&
                        current->revision == wanted.current_revision &&
                        current->value.nodes.contains(wanted.here) &&
                        !(serves && waits_for_its_use(wanted.peer_fate)) &&
                        is_still_to_leave(volume->value, peer, wanted.peer_fate) &&
                        (wanted.peer_fate != PeerFate::Unable || is_unmade(volume->value, peer)) &&
                        require_reason(name, peer, wanted.peer_fate, store, change);
  if (!still_so)
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently; retrying", name));

  const Chosen place = choose_for(wanted, volume->value, peer, store);
  const std::string& chosen = place.node;
  if (!has_turn()) return false;
  model::Volume next = volume->value;
  next.drops_mirror = false;
  if (next.leaving == peer) next.leaving.clear();
  if (!chosen.empty()) next.arriving.clear();
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
  if (wanted.peer_fate == PeerFate::Unwanted) {
    log::info(fmt::format("volume {}: the replica on {} is given up", name, peer));
    return true;
  }
  log::warn(fmt::format("volume {}: the replica on {} is replaced by one on {}", name,
                        peer.empty() ? "a lost node" : peer,
                        chosen.empty() ? "no other node" : chosen));
  return true;
}

}  // namespace plexvol::reconcile
