#include "agent/reconcile/load.h"

#include <fmt/core.h>

#include <utility>

#include "agent/model/codec.h"

namespace plexvol::reconcile {

namespace {

std::string contradiction_of(const store::VolumeView& view, const model::Acted& acted) {
  if (!view.volume) return "";
  const auto current = view.current ? std::optional(view.current->value) : std::nullopt;
  return store::describe_contradiction(acted, view.volume->value, current);
}

// Holds its lease, and has said something since the volume was taken from it as from one that is
// silent.
bool is_heard_of(const store::NodeView& node, const Loaded& loaded) {
  if (!node.session) return false;
  if (*node.session != loaded.wanted.attachment->silent_session) return true;
  return node.status && node.status->attachment_revision >= loaded.attachment_revision;
}

}  // namespace

std::optional<Loaded> Loader::load(const std::optional<Loaded>& before) {
  const std::string& here = shared_.settings.here;
  const Tools& tools = shared_.tools;
  store::VolumeView view = tools.store.view_volume(volume_, here);
  const std::string contradiction = find_contradiction(view);
  if (view.volume && !view.volume->value.concerns(here) &&
      tools.drbd.has_config_of(volume_, view.volume->value.secret)) {
    if (!contradiction.empty()) throw Error(ErrorCode::Conflict, contradiction);
    tell_of_return(*view.volume);
    view = tools.store.view_volume(volume_, here);
  }
  if (!view.volume || !view.volume->value.concerns(here)) {
    forget();
    drop_assignment(view);
    return std::nullopt;
  }
  // What was seen and made in this pass was another's.
  if (before && before->wanted.volume.id != view.volume->value.id) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {} was replaced by a new one", volume_));
  }
  return interpret(std::move(view), contradiction);
}

// Who woke this node had read the volume before this node left it.
void Loader::drop_assignment(const store::VolumeView& view) {
  if (view.assigned == 0) return;
  const std::string key = store::keys::assigned(shared_.settings.here, volume_);
  shared_.tools.store.commit(
      store::Change()
          .require(key, view.assigned)
          .require(store::keys::volume(volume_), view.volume ? view.volume->revision : 0)
          .remove(key));
}

void Loader::forget() {
  shared_.memory.forget(volume_);
  shared_.tools.jobs.drop_ended(volume_, "");
  if (shared_.resync_turns.note(volume_, std::nullopt)) shared_.settings.resyncs_changed();
}

// "" when there is none. Nor is a store believed while it is not known what was acted on. A
// contradiction counts only in a view that was read after what was acted on: another thread may
// have won a newer set in between. So it is looked for twice.
std::string Loader::find_contradiction(store::VolumeView& view) {
  if (!view.volume) return "";
  try {
    const auto acted = shared_.tools.arbiter.acted().find(view.volume->value.id);
    if (!acted || contradiction_of(view, *acted).empty()) return "";
    view = shared_.tools.store.view_volume(volume_, shared_.settings.here);
    std::string why = contradiction_of(view, *acted);
    if (!why.empty()) shared_.settings.contradicted(volume_);
    return why;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Unavailable) throw;
    return error.what();
  }
}

// A node that was forgotten has come back with its old copy. All must know, so that none chooses
// it for a new one before the old is gone.
void Loader::tell_of_return(const store::Versioned<model::Volume>& found) {
  model::Volume volume = found.value;
  volume.former.insert(shared_.settings.here);
  const std::string key = store::keys::volume(volume_);
  if (!shared_.tools.store.commit(store::Change()
                                      .require(key, found.revision)
                                      .put(key, model::to_json(volume))
                                      .wake(volume))) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("volume {}: changed concurrently; retrying", volume_));
  }
}

Loaded Loader::interpret(store::VolumeView view, const std::string& contradiction) {
  const std::string& here = shared_.settings.here;
  Loaded loaded;
  loaded.status = std::move(view.status);
  loaded.assigned = view.assigned;
  Wanted& wanted = loaded.wanted;
  wanted.volume = std::move(view.volume->value);
  wanted.here = here;
  wanted.contradiction = contradiction;
  if (view.attachment) {
    wanted.attachment = std::move(view.attachment->value);
    loaded.attachment_revision = view.attachment->revision;
  }
  if (view.current) {
    wanted.current = std::move(view.current->value);
    wanted.current_revision = view.current->revision;
  }
  const bool has_copy = wanted.volume.find_replica(here) != nullptr;
  if (!has_copy) wanted.others_whole = are_whole(wanted.volume, view.nodes);
  const std::string peer = has_copy ? wanted.volume.peer_of(here) : "";
  wanted.drained = has_copy && shared_.peers.is_drained(here);
  shared_.memory.record_peer(volume_, has_copy && peer.empty() ? here : peer);
  loaded.peer_to_be_filled =
      has_copy && is_to_be_filled(wanted.volume, wanted.current, peer, view.nodes);
  if (wanted.volume.wanted_copies() > 1 && has_copy) add_nodes(loaded, peer, view.nodes);
  return loaded;
}

void Loader::add_nodes(Loaded& loaded, const std::string& peer, NodeViews& views) {
  Wanted& wanted = loaded.wanted;
  for (const auto& [name, view] : views) {
    if (view.node) wanted.nodes[name] = *view.node;
  }
  if (!peer.empty()) shared_.peers.note(peer, views[peer].session.has_value());
  if (const auto& status = views[peer].status) wanted.peer_device_bytes = status->device_bytes;
  wanted.peer_alive = wanted.attached_here() && is_heard_of(views[peer], loaded);
  if (!keeps_peer_) wanted.peer_fate = fate_of(wanted.volume, peer, views);
}

PeerFate Loader::fate_of(const model::Volume& volume, const std::string& peer,
                         const NodeViews& views) {
  PeerFate fate = shared_.peers.fate_of(peer);
  if (fate == PeerFate::Stays && lacks_backing(volume, peer, views)) fate = PeerFate::BackingGone;
  // Asked in any case: the time begins again when it is able.
  const bool unable = shared_.memory.is_unable(volume_, is_unable(volume, peer, views),
                                               shared_.settings.connect_time);
  if (fate == PeerFate::Stays && unable) fate = PeerFate::Unable;
  if (volume.copies_asked == 1) {
    // Its second copy went on purpose, or is to go. The one that a single copy moves to is needed.
    if (peer == volume.leaving) return peer.empty() ? PeerFate::Stays : PeerFate::Unwanted;
  }
  const bool stays = fate == PeerFate::Stays || fate == PeerFate::Drained;
  if (stays && !peer.empty() && peer == volume.leaving) fate = PeerFate::Moved;
  // One copy after the other: while it moves, the volume has only one that counts.
  if (moves(fate) && shared_.resync_turns.is_full(volume_)) fate = PeerFate::Stays;
  return fate;
}

}  // namespace plexvol::reconcile
