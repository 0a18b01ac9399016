#include "agent/reconcile/executor.h"

#include "agent/log.h"
#include "agent/reconcile/apply.h"
#include "agent/reconcile/mirror_change.h"
#include "agent/reconcile/observe.h"
#include "agent/reconcile/replace.h"

namespace plexvol::reconcile {

void Executor::run(const std::vector<Action>& actions, Wanted& wanted, Seen& seen) {
  effects_.backing_known = true;
  for (const Action& action : actions) {
    if (is<actions::LookAgain>(action)) break;
    if (!is<actions::Fail>(action)) log::info(to_text(action));
    if (touches_backing(action)) effects_.backing_known = false;
    run_one(action, wanted, seen);
  }
}

void Executor::run_one(const Action& action, Wanted& wanted, Seen& seen) {
  if (const auto* refusal = std::get_if<actions::RefuseRelease>(&action)) {
    seen.refused_release = wanted.attachment->release->id;
    effects_.note = refusal->reason;
    return;
  }
  if (is<actions::PutBack>(action)) effects_.put_back = true;
  if (is<actions::ForgetReplica>(action)) effects_.forgot_replica = true;
  if (is<actions::ReplacePeer>(action)) return replace(wanted);
  if (is<actions::GrowData, actions::GrowMirror, actions::GrowFilesystem>(action))
    return grow(action, wanted, seen);
  if (is<actions::GainMirror, actions::DropMirror>(action))
    return change_copies(action, wanted, seen);
  try {
    if (acts_on_set(action) && wanted.current) {
      shared_.tools.arbiter.acted().record(wanted.volume, *wanted.current);
    }
    apply(action, wanted, seen, shared_.tools);
  } catch (const Error&) {
    const bool ends_freeze = is<actions::AskArbiter, actions::ResumeIo>(action);
    if (ends_freeze && frozen(seen)) connect_again(wanted, seen);
    throw;
  }
  if (changes_space(action)) shared_.settings.space_changed();
  if (is<actions::Unmount>(action)) shared_.settings.unmounted();
}

// A primary that was parted to be asked about, and got no answer: its I/O stays frozen, but a
// peer that comes back ends that, and must find the connection open.
void Executor::connect_again(const Wanted& wanted, Seen& seen) {
  try {
    observe_resource(wanted, shared_.tools, seen);
    if (frozen(seen) && seen.resource->connection == "StandAlone") {
      shared_.tools.drbd.adjust(volume_);
    }
  } catch (const Error& error) {
    log::warn(error.what());
  }
}

// The volume is as usable as before when there is no room: a note, not an error. The patrol tries
// again.
void Executor::grow(const Action& action, Wanted& wanted, Seen& seen) {
  try {
    apply(action, wanted, seen, shared_.tools);
    if (changes_space(action)) shared_.settings.space_changed();
  } catch (const Error& error) {
    seen.growth_failed = true;
    if (effects_.note.empty()) effects_.note = model::kGrowthFailed + std::string(error.what());
    log::warn(error.what());
  }
}

// The same of a volume that cannot gain a second copy. Nobody wants it so badly that the others on a
// node that is drained would not go one after the other.
void Executor::change_copies(const Action& action, const Wanted& wanted, Seen& seen) {
  MirrorChange change{.wanted = wanted,
                      .seen = seen,
                      .tools = shared_.tools,
                      .first_port = shared_.settings.first_port};
  if (is<actions::DropMirror>(action)) return drop_mirror(change);
  const bool is_moved = wanted.drained && wanted.volume.copies_asked < 2;
  if (is_moved && !shared_.resync_turns.reserve(volume_)) {
    seen.copies_failed = true;
    return;
  }
  try {
    gain_mirror(change);
  } catch (const Error& error) {
    if (is_moved) shared_.resync_turns.cancel(volume_);
    if (error.code() == ErrorCode::Unavailable) throw;
    seen.copies_failed = true;
    if (effects_.note.empty()) effects_.note = error.what();
    log::warn(error.what());
  }
}

// The volume is as usable as before when no node can take a second copy: a note, not an error.
// The patrol tries again.
void Executor::replace(const Wanted& wanted) {
  const bool is_moved = moves(wanted.peer_fate);
  try {
    // Another pass may be quicker; when what that moves is whole, this volume is woken.
    effects_.peer_is_stuck = !replace_peer(wanted, shared_.tools.store, shared_.tools.arbiter, [&] {
      return !is_moved || shared_.resync_turns.reserve(volume_);
    });
  } catch (const Error& error) {
    if (is_moved) shared_.resync_turns.cancel(volume_);
    if (error.code() != ErrorCode::OutOfSpace) throw;
    if (effects_.note.empty()) effects_.note = error.what();
    effects_.peer_is_stuck = true;
    log::warn(error.what());
  }
}

}  // namespace plexvol::reconcile
