#include "agent/reconcile/executor.h"

#include "agent/log.h"
#include "agent/reconcile/apply.h"
#include "agent/reconcile/observe.h"
#include "agent/reconcile/replace.h"

namespace plexvol::reconcile {

void Executor::run(const std::vector<Action>& actions, Wanted& wanted, Seen& seen) {
  effects_.backing_known = true;
  for (const Action& action : actions) {
    if (action.kind == ActionKind::LookAgain) break;
    if (action.kind != ActionKind::Fail) log::info(to_text(action));
    if (touches_backing(action.kind)) effects_.backing_known = false;
    run_one(action, wanted, seen);
  }
}

void Executor::run_one(const Action& action, Wanted& wanted, Seen& seen) {
  if (action.kind == ActionKind::RefuseRelease) {
    seen.refused_release = wanted.attachment->release->id;
    effects_.note = action.text;
    return;
  }
  if (action.kind == ActionKind::PutBack) effects_.put_back = true;
  if (action.kind == ActionKind::ForgetReplica) effects_.forgot_replica = true;
  if (action.kind == ActionKind::ReplacePeer) return replace(wanted);
  try {
    if (acts_on_set(action.kind) && wanted.current) {
      shared_.tools.arbiter.acted().record(wanted.volume, *wanted.current);
    }
    apply(action, wanted, seen, shared_.tools);
  } catch (const Error&) {
    const bool ends_freeze =
        action.kind == ActionKind::AskArbiter || action.kind == ActionKind::ResumeIo;
    if (ends_freeze && frozen(seen)) connect_again(wanted, seen);
    throw;
  }
  if (changes_space(action.kind)) shared_.settings.space_changed();
  if (action.kind == ActionKind::Unmount) shared_.settings.unmounted();
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

// The volume is as usable as before when no node can take a second copy: a note, not an error.
// The patrol tries again.
void Executor::replace(const Wanted& wanted) {
  const bool is_moved = wanted.peer_fate == PeerFate::Drained;
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
