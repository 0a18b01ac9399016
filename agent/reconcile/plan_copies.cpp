// What is planned when a volume is to have another number of copies than it has. Its second copy
// comes and goes by ReplacePeer, as another one's does; here is planned how DRBD comes over the first
// one, with its data where it is, and goes again.
#include <algorithm>

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
  return volume_.mirror_is_to_go() && volume_.former.empty() && unused() && !wanted_.drained &&
         seen_.resource && seen_.resource->disk_state == "UpToDate" && is_current(wanted_.here);
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

Then Planner::remove_former_mirror() {
  if (!volume_.drops_mirror || volume_.find_replica(wanted_.here) == nullptr) return Then::GoOn;
  add(actions::RemoveMirror{});
  add(actions::LookAgain{});
  return Then::End;
}

}  // namespace plexvol::reconcile
