// What is planned when a volume is to have another number of copies than it has. Its second copy
// comes and goes by ReplacePeer, as another one's does; here is planned how DRBD comes over the first
// one, with its data where it is, and goes again.
#include <fmt/core.h>

#include "agent/base/text.h"
#include "agent/reconcile/planner.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

// No node has it, and nothing on this one could be about to use it.
bool Planner::unused() const {
  return !wanted_.attachment && !in_use() && seen_.mounts.empty() && !seen_.linked && !primary();
}

// A single copy moves like this, too: it has a second one for as long as that takes.
bool Planner::wants_mirror() const {
  return volume_.copies_asked > 1 || volume_.leaving == wanted_.here || wanted_.drained;
}

bool Planner::may_gain_mirror() const {
  return !has_layer(volume_, Layer::Drbd) && wants_mirror() && unused() &&
         volume_.find_replica(wanted_.here)->made && is_current(wanted_.here) &&
         seen_.data_bytes >= volume_.size_bytes;
}

// The node of the other copy has removed it: as long as it has not, it goes by the volume's minor.
bool Planner::may_drop_mirror() const {
  const bool has_data = volume_.find_replica(wanted_.here)->gains_metadata
                            ? seen_.data.has_value()
                            : seen_.resource && disk_usable();
  return volume_.mirror_is_to_go() && volume_.former.empty() && unused() && has_data &&
         is_current(wanted_.here);
}

Then Planner::change_copies() {
  if (!actions_.empty() || seen_.copies_failed) return Then::GoOn;
  if (may_gain_mirror()) {
    add(actions::GainMirror{});
  } else if (may_drop_mirror()) {
    add(actions::DropMirror{});
  } else {
    return Then::GoOn;
  }
  add(actions::LookAgain{});
  return Then::End;
}

// The data is there and stays as it is. Where it is not, that is a loss like any other: an empty
// device in its place would pass for the copy that has everything.
Then Planner::make_metadata() {
  if (!volume_.find_replica(wanted_.here)->gains_metadata || !seen_.data) return Then::GoOn;
  if (take_gain_back()) return Then::End;
  const bool is_new = !seen_.metadata || seen_.metadata->making;
  if (!seen_.metadata) add(actions::CreateMetadataDevice{});
  if (activate()) {
    // Also when it was made before: it must say what it should.
    add(actions::CreateMetadata{});
    if (is_new) add(actions::Finish{});
    add(actions::RecordMade{});
  }
  add(actions::LookAgain{});
  return Then::End;
}

// A person wants one copy again, before there was any metadata: perhaps because none can be made.
bool Planner::take_gain_back() {
  const bool serves = wanted_.attachment && wanted_.attachment->node == peer();
  if (wanted_.peer_fate == PeerFate::Unwanted && !serves) {
    add(actions::ReplacePeer{peer()});
  } else if (may_drop_mirror()) {
    add(actions::DropMirror{});
  } else if (!volume_.mirror_is_to_go() || volume_.former.empty()) {
    return false;
  } else {
    fail(ErrorCode::Unavailable,
         fmt::format("{}: waiting for {} to remove its replica", name(),
                     base::join({volume_.former.begin(), volume_.former.end()})));
    return true;
  }
  add(actions::LookAgain{});
  return true;
}

// It was away, and forgotten, when the volume lost its mirror: DRBD may have the device open.
bool Planner::remove_left_mirror() {
  if (!seen_.mirror_left) return false;
  add(actions::RemoveMirror{});
  add(actions::LookAgain{});
  return true;
}

Then Planner::remove_former_mirror() {
  if (!volume_.drops_mirror || has_layer(volume_, Layer::Drbd) ||
      volume_.find_replica(wanted_.here) == nullptr)
    return Then::GoOn;
  add(actions::RemoveMirror{});
  add(actions::LookAgain{});
  return Then::End;
}

}  // namespace plexvol::reconcile
