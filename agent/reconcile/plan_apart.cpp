// What is planned when the two copies are not together, or are to be parted: the arbiter's rules.
#include <fmt/core.h>

#include <algorithm>

#include "agent/reconcile/planner.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

bool has_disk(const Seen& seen) {
  if (!seen.resource) return false;
  const std::string& disk = seen.resource->disk_state;
  return !disk.empty() && disk != "Diskless" && disk != "Failed";
}

// Rule 1: what a failed disk lacks from now on, nobody may miss later. Whoever sees it first
// takes it out: this node itself, or its peer.
// True: the peer is taken out.
bool Planner::plan_failed_disks() {
  if (volume_.wanted_copies() == 1 || !is_current(peer())) return false;
  const auto failed = [](const std::string& disk) {
    return disk == "Diskless" || disk == "Failed";
  };
  // What DRBD has open is there, whatever lvm2 lists.
  const bool own_gone =
      !seen_.backing_error && (!seen_.data || !seen_.metadata) && !has_disk(seen_);
  // A connected peer sends nothing to who has no disk, and yet it misses all of it.
  const bool own_failed = seen_.resource && failed(seen_.resource->disk_state) && !just_made();
  if (own_gone || own_failed) {
    // Also when it is out already, before it is attached again: the peer may be about to put it
    // back by an older look.
    if (is_current(wanted_.here) || !primary()) add(actions::LeaveSet{peer()});
    return false;
  }
  // One that is only behind goes, too: a primary that loses such a peer goes on unasked.
  const std::string peer_disk = seen_.resource ? seen_.resource->peer_disk_state : "";
  const bool peer_behind = peer_disk == "Inconsistent" || peer_disk == "Outdated";
  if (is_current(wanted_.here) && connected() && seen_.resource->disk_state == "UpToDate" &&
      (failed(peer_disk) || peer_behind)) {
    add(actions::TakeOut{peer()});
    return true;
  }
  return false;
}

Then Planner::record_failed_disks() {
  if (!plan_failed_disks()) return Then::GoOn;
  add(actions::LookAgain{});  // the peer is out: what is due now depends on that
  return Then::End;
}

// A secondary without a disk that is alone in the set. Its disk failed when the other one did not
// count, and since then that one may have taken writes which this one lacks. Nobody can tell
// without the disk, so no plan attaches it: a boot does, or the word of a user, which counts once.
// False: nothing more can be done with the resource.
bool Planner::plan_lone_disk() {
  if (!diskless() || just_made() || !is_current(wanted_.here) || is_current(peer())) return true;
  const auto& forced = wanted_.current->forced;
  if (forced && forced->node == wanted_.here && forced->disk_state == "Diskless") {
    add(actions::UseForced{});
    return true;
  }
  std::string text = fmt::format(
      "{0}: the replica on {1} is the only current one, and its disk has failed. If the disk works "
      "again: `plexvol volume force-current {2} --node {1}`",
      name(), wanted_.here, volume_.name);
  if (!peer().empty()) {
    text += fmt::format("; to use what {0} has: `plexvol volume force-current {1} --node {0}`",
                        peer(), volume_.name);
  }
  fail(ErrorCode::Conflict, text);
  return false;
}

// A primary that is not in the set has lost, and must stop for good, unless it works on its
// peer's good copy anyway. Rule 4: nobody may be told of a success that is about to be thrown
// away, so its users are killed, and seen to be, before the copy is given up and the rest is
// thawed. Whether their pods live is not asked: they are what has to stop.
Then Planner::leave_lost_arbitration() {
  if (!primary() || !wanted_.current || is_current(wanted_.here)) return Then::GoOn;
  if (connected() && seen_.resource->peer_disk_state == "UpToDate") return Then::GoOn;
  // Apart, and told to the store once more: from here on nothing that anybody saw before can
  // connect it or put it back.
  add(actions::Disconnect{});
  // A copy that was replaced is no longer spoken of.
  if (volume_.find_replica(wanted_.here) != nullptr) add(actions::LeaveSet{peer()});
  add(actions::KillUsers{});
  add(actions::GiveUpDisk{});
  // A kubelet has restarted the container by now: it must not be told of an old write either.
  add(actions::KillUsers{});
  add(actions::ResumeIo{});
  stop_using();
  take_down_layers();
  add(actions::LookAgain{});
  return Then::End;
}

// What is said of a freeze that lasts, after what is due whatever holds the I/O back.
void Planner::hold_freeze(ErrorCode code, const std::string& text) {
  if (plan_failed_disks()) return add(actions::LookAgain{});
  if (!plan_put_back()) fail(code, text);
}

// A frozen primary that is in the set: the kernel asks by itself, and only when nobody has
// answered it (the agent was away, the store was), this agent ends the freeze. Rule 6: apart
// first, so that nothing can connect between the question and the thaw. But before it is parted it
// asks whether there is an answer at all: where the store takes no writes it must stay as it is,
// since a peer that comes back ends the freeze.
Then Planner::end_freeze() {
  if (!frozen(seen_)) return Then::GoOn;
  const std::string what = fmt::format("{}: I/O on {} is suspended", name(), wanted_.here);
  if (seen_.resource->suspended.find("fencing") == std::string::npos) {
    hold_freeze(
        ErrorCode::Unavailable,
        fmt::format("{}, but not by Plexvol ({}): run `drbdsetup resume-io {}` to resume it", what,
                    seen_.resource->suspended, volume_.minor));
  } else if (!disk_usable()) {
    // Who has nothing to go on with must not win.
    if (is_current(wanted_.here) && is_current(peer())) {
      add(actions::LeaveSet{peer()});
      add(actions::LookAgain{});
    } else if (connected()) {
      hold_freeze(ErrorCode::Unavailable,
                  fmt::format("{} until DRBD has agreed with {}", what, peer()));
    } else {
      fail(ErrorCode::Conflict, what + ", and its disk, the last current one, has failed");
    }
  } else if (connected()) {
    hold_freeze(ErrorCode::Unavailable,
                fmt::format("{} until DRBD has agreed with {}", what, peer()));
  } else if (seen_.question_under_way || !seen_.question_time_over) {
    fail(ErrorCode::Unavailable,
         what + " until it is decided which node continues without the other");
  } else {
    add(actions::AskArbiter{peer()});
    add(actions::Disconnect{});
    add(actions::AskArbiter{peer()});
    add(actions::ResumeIo{});
    add(actions::Adjust{});
    add(actions::LookAgain{});
  }
  return Then::End;
}

// Rule 2 of the arbiter: what is wanted was read, and with it the revision of the set, before
// anything was looked at. The peer that the kernel is connected to must be the volume's (so the
// configuration is current), and its copy not one that is to be made again.
bool Planner::plan_put_back() {
  if (!seen_.resource || !seen_.config_current || !wanted_.current) return false;
  const bool both_good = connected() && seen_.resource->disk_state == "UpToDate" &&
                         seen_.resource->peer_disk_state == "UpToDate";
  const model::Replica* replica = volume_.find_replica(peer());
  if (!both_good || !is_current(wanted_.here) || is_current(peer())) return false;
  if (replica == nullptr || !replica->made) return false;
  add(actions::PutBack{peer()});
  add(actions::LookAgain{});
  return true;
}

Then Planner::put_peer_back() {
  return plan_put_back() ? Then::End : Then::GoOn;
}

Then Planner::promote() {
  if (!wanted_.attached_here() || !has_layer(volume_, Layer::Drbd) || primary()) return Then::GoOn;
  plan_promotion();
  return Then::End;
}

void Planner::plan_promotion() {
  if (connected() && seen_.resource->peer_role == "Primary") {
    return fail(
        ErrorCode::Unavailable,
        fmt::format("{} is still in use on {}, which has not released it yet", name(), peer()));
  }
  if (!is_current(wanted_.here)) {
    return fail(
        connected() ? ErrorCode::Unavailable : ErrorCode::Conflict,
        fmt::format("{}: the replica on {} may lack the newest writes and cannot be used alone: {}",
                    name(), wanted_.here,
                    connected() ? "it is resyncing from " + peer()
                                : fmt::format("bring {} back, which has them", peer())));
  }
  // Before anybody is asked: a node that cannot be promoted must not take its peer out.
  const bool by_force = !disk_usable() && !connected() && may_be_forced();
  if (!disk_usable() && !by_force) {
    return fail(
        ErrorCode::Unavailable,
        fmt::format(
            "{}: the replica on {} is {} and cannot be used until it has been resynced from {}",
            name(), wanted_.here, seen_.resource->disk_state, peer()));
  }
  if (!connected()) {
    if (wanted_.peer_alive && !seen_.connect_time_over) {
      return fail(ErrorCode::Unavailable,
                  fmt::format("{}: waiting for the connection to {}", name(), peer()));
    }
    add(actions::AskArbiter{peer()});
  }
  by_force ? add(actions::PromoteByForce{}) : add(actions::Promote{});
  add(actions::LookAgain{});
}

// A person has chosen this copy as it was then; half overwritten only when it was so already.
bool Planner::may_be_forced() const {
  const auto& forced = wanted_.current->forced;
  const std::string& disk = seen_.resource->disk_state;
  return forced && forced->node == wanted_.here &&
         (disk == "Outdated" || (disk == "Inconsistent" && forced->disk_state == disk));
}

Then Planner::replace_peer() {
  if (!actions_.empty() || !may_replace_peer(wanted_, seen_)) return Then::GoOn;
  add(actions::ReplacePeer{peer()});
  add(actions::LookAgain{});
  return Then::End;
}

Then Planner::retire_replaced_copy() {
  if (volume_.find_replica(wanted_.here) != nullptr) return Then::GoOn;
  plan_leaving();
  return Then::End;
}

// What was replaced is taken out of use at once. Its data stays until it is worth nothing any
// more.
void Planner::plan_leaving() {
  if (remove_left_mirror()) return;
  if (in_use())
    return fail(ErrorCode::Conflict,
                fmt::format("the replica on {} was replaced, but {}", wanted_.here, why_in_use()));
  stop_using();
  take_down_layers();
  if (wanted_.attached_here()) {
    add(actions::DropAttachment{});
    add(actions::LookAgain{});
    return;
  }
  if (!all_current() || !wanted_.others_whole) return;
  if (seen_.backing_error) return fail(seen_.backing_error->code(), seen_.backing_error->what());
  plan_data_removal();
}

bool Planner::all_current() const {
  return std::ranges::all_of(volume_.nodes(),
                             [&](const std::string& node) { return is_current(node); });
}

// The copy here has everything, so nothing but the second copy is at stake, and that one serves
// nobody.
bool may_replace_peer(const Wanted& wanted, const Seen& seen) {
  if (wanted.peer_fate == PeerFate::Stays || !seen.resource || !wanted.current) return false;
  const drbd::ResourceState& resource = *seen.resource;
  if (!wanted.current->nodes.contains(wanted.here) || !disk_usable(resource)) return false;
  if (resource.suspended != "no") return false;
  const std::string peer = wanted.volume.peer_of(wanted.here);
  if (peer.empty()) return true;
  const bool connected = resource.connection == "Connected";
  const bool serves =
      resource.peer_role == "Primary" || (wanted.attachment && wanted.attachment->node == peer);
  if (moves(wanted.peer_fate) || wanted.peer_fate == PeerFate::Unwanted) return !serves;
  if (wanted.peer_fate == PeerFate::BackingGone) {
    return !serves && resource.disk_state == "UpToDate" && !wanted.current->nodes.contains(peer);
  }
  return !connected && seen.apart_time_over;
}

}  // namespace plexvol::reconcile
