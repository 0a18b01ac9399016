// What is planned of DRBD's resource and its configuration.
#include <fmt/core.h>

#include <algorithm>

#include "agent/reconcile/planner.h"

namespace plexvol::reconcile {

Then Planner::refuse_foreign_resource() {
  if (!seen_.resource_is_foreign || volume_.find_replica(wanted_.here) == nullptr) {
    return Then::GoOn;
  }
  fail(ErrorCode::Conflict,
       fmt::format(
           "{0}: DRBD on {1} has a resource named {2} that belongs to something else or to an "
           "older volume of this name; Plexvol does not touch it: see `drbdsetup status {2}`; take "
           "it down once it is no longer needed, or delete this volume and choose another name",
           name(), wanted_.here, volume_.name));
  return Then::End;
}

void Planner::plan_resource() {
  const auto& resource = seen_.resource;
  // A primary without a disk works on its peer's. Given its own back it would be resynchronised
  // under it, and when the link breaks then, DRBD ends what waits as a success by itself.
  if (primary() && has_no_disk()) return;
  if (has_no_disk() && !diskless()) {
    return fail(
        ErrorCode::Unavailable,
        fmt::format(
            "{}: the disk of the replica on {} has just failed; waiting for DRBD to detach it",
            name(), wanted_.here));
  }
  if (!plan_lone_disk()) return;
  // Bump the epoch before bringing up a replica that is not in the set, so that a stale observation
  // cannot put it back.
  if (!resource && !is_current(wanted_.here) && is_current(peer())) {
    add(actions::LeaveSet{peer()});
  }
  if (!seen_.config_current) plan_configuration();
  const bool parted = resource && resource->connection == "StandAlone";
  const bool whole = resource && resource->disk_state != "Diskless" && !parted;
  if (seen_.config_current && whole) return;
  // Where the two disagree about the past, DRBD leaves them StandAlone: the copy that is not in
  // the set is the one to be thrown away.
  const bool worthless = seen_.config_current && parted && !primary() &&
                         resource->disk_state != "Diskless" && is_current(peer()) &&
                         !is_current(wanted_.here);
  worthless ? add(actions::ReconnectDiscarding{}) : add(actions::Adjust{});
}

// Rule 1: a change of the configuration may part the two in peace, and then a primary goes on
// without asking anyone. So a primary takes its peer out before, and a secondary leaves. Only
// resync options never part them: else an upgrade with another default would make all volumes
// rejoin.
void Planner::plan_configuration() {
  if (seen_.only_resync_options_changed) return add(actions::WriteConfig{});
  const bool is_out_already = !actions_.empty() && is<actions::LeaveSet>(actions_.back());
  if (together() && !is_out_already) {
    primary() ? add(actions::TakeOut{peer()}) : add(actions::LeaveSet{peer()});
  }
  // The connection itself changes: a primary at its other end must notice nothing that ends in
  // peace. Also when none is connected now, since one may be by then.
  const bool survives = is_current(wanted_.here) && !is_current(peer());
  const bool leaves = together() && !primary();
  if (seen_.resource && !seen_.connection_current && (survives || leaves)) {
    add(actions::Disconnect{});
  }
  add(actions::WriteConfig{});
}

// What stands on the foundation is not planned before that was looked at again.
Then Planner::look_at_foundation() {
  const auto is_of_foundation = [](const Action& action) {
    return !is<actions::RefuseRelease>(action);
  };
  if (std::ranges::none_of(actions_, is_of_foundation)) return Then::GoOn;
  if (!is<actions::Fail>(actions_.back())) add(actions::LookAgain{});
  return Then::End;
}

}  // namespace plexvol::reconcile
