#include "agent/reconcile/plan.h"

#include <span>

#include "agent/reconcile/planner.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

namespace {

bool device_usable(const Wanted& wanted, const Seen& seen) {
  return wanted.attached_here() && seen.device && lets_use(wanted.volume, seen);
}

}  // namespace

bool disk_usable(const drbd::ResourceState& resource) {
  return resource.disk_state == "UpToDate" || resource.disk_state == "Consistent";
}

// The order of the rules is the design. Each one looks at the whole situation by itself; what
// stands before it has either not applied, or has planned what may be done beside it.
std::span<const Rule> Planner::list_rules() {
  static constexpr Rule kRules[] = {
      // Nothing here is this volume's.
      {"another node's volume", &Planner::skip_others_volume},
      // Before anything that believes the store, deletion above all.
      {"store rolled back", &Planner::refuse_old_store},
      // Before all that would take the volume for a mirrored one or not, as its record says.
      {"former mirror", &Planner::remove_former_mirror},
      // Before all that would make or use what is about to be removed.
      {"deletion", &Planner::remove_deleted},
      // Before all that takes the kernel's resource for this volume's.
      {"resource of somebody else", &Planner::refuse_foreign_resource},
      // Before all that could hang on a device that answers nobody. Before the end of a freeze,
      // too: a thaw must find the users dead (arbiter rule 4).
      {"lost arbitration", &Planner::leave_lost_arbitration},
      // A copy that was replaced takes the way out above when it is primary, and needs nothing of
      // what follows: it is never made, promoted or formatted.
      {"replaced copy", &Planner::retire_replaced_copy},
      // Before all that would wait for the frozen device.
      {"freeze", &Planner::end_freeze},
      // Before all that can fail: what is broken can still be let go of. A refusal lets the rest go
      // on.
      {"letting go", &Planner::let_go_when_asked},
      // Without a look at them nothing can be said of backing devices, which all that follows rests
      // on. What a failed disk requires is told the store all the same.
      {"backing error", &Planner::tell_backing_error},
      // Before the rules for what is missing: here nothing has been lost.
      {"creation", &Planner::make_copy},
      // Before anything that can fail (arbiter rule 1).
      {"failed disks", &Planner::record_failed_disks},
      // Before what would activate or attach them.
      {"strangers", &Planner::refuse_strangers},
      // Before its metadata could be missed.
      {"gained mirror", &Planner::make_metadata},
      // Before DRBD is brought up over what is left.
      {"loss", &Planner::tell_loss},
      // The foundation: the layers, from the bottom.
      {"layers", &Planner::bring_up_layers},
      // From here on the foundation stands.
      {"foundation", &Planner::look_at_foundation},
      // Before promotion and mounts, which can fail: the set is to be whole as soon as the two are.
      {"put back", &Planner::put_peer_back},
      // Not attached here: the rules of use below do not apply.
      {"not attached", &Planner::leave_unattached},
      // The use, from the bottom: role, file system, mounts.
      {"promotion", &Planner::promote},
      {"format", &Planner::format},
      {"mount calls", &Planner::answer_mount_calls},
      // After the mount calls: where there is no room, the volume can be used as it is.
      {"growth", &Planner::grow},
      // Only of a volume that nothing is to be done for.
      {"copies", &Planner::change_copies},
      // Only when nothing is missing here: it is the copy that the new one is filled from.
      {"replacement", &Planner::replace_peer},
      // Last: what keeps the volume from being released keeps nothing else from being done.
      {"holder", &Planner::tell_holder},
  };
  return kRules;
}

// Those that must not wait for any tool but DRBD's, in the same order.
std::span<const Rule> Planner::list_arbitration_rules() {
  static constexpr Rule kRules[] = {
      // There is nothing to arbitrate, or the store is not believed.
      {"arbitration: nothing to arbitrate", &Planner::skip_arbitration},
      // Of a deletion only that a freeze must not last.
      {"arbitration: deletion", &Planner::thaw_deleted},
      {"arbitration: lost arbitration", &Planner::leave_lost_arbitration},
      // A copy that was replaced is in no set.
      {"arbitration: replaced copy", &Planner::skip_replaced_copy},
      {"arbitration: freeze", &Planner::end_freeze},
      // Nothing comes between what a failed disk requires and the next look.
      {"arbitration: failed disks", &Planner::arbitrate_failed_disks},
      {"arbitration: put back", &Planner::put_peer_back},
  };
  return kRules;
}

void Planner::follow(std::span<const Rule> rules) {
  for (const Rule& rule : rules) {
    const std::size_t before = actions_.size();
    const Then then = (this->*rule.plan)();
    if (then == Then::End || actions_.size() > before) applied_.emplace_back(rule.name);
    if (then == Then::End) return;
  }
}

Then Planner::skip_others_volume() {
  return volume_.concerns(wanted_.here) ? Then::GoOn : Then::End;
}

Then Planner::refuse_old_store() {
  if (wanted_.contradiction.empty()) return Then::GoOn;
  plan_contradicted();
  return Then::End;
}

// Only what changes nothing for the data: who uses the volume here may mount it once more.
void Planner::plan_contradicted() {
  const bool is_used_here = wanted_.attached_here() && primary() && !frozen(seen_);
  if (is_used_here && seen_.device && volume_.format == model::Format::Done) plan_mount_calls();
  if (actions_.empty()) fail(ErrorCode::Conflict, wanted_.contradiction);
}

Then Planner::skip_arbitration() {
  const bool may_matter = volume_.wanted_copies() > 1 && volume_.concerns(wanted_.here) &&
                          wanted_.contradiction.empty();
  return may_matter ? Then::GoOn : Then::End;
}

Then Planner::thaw_deleted() {
  if (!volume_.deleting) return Then::GoOn;
  if (frozen(seen_)) remove_volume();
  return Then::End;
}

Then Planner::skip_replaced_copy() {
  return volume_.find_replica(wanted_.here) == nullptr ? Then::End : Then::GoOn;
}

Then Planner::arbitrate_failed_disks() {
  plan_failed_disks();
  return Then::GoOn;
}

std::vector<Action> plan(const Wanted& wanted, const Seen& seen) {
  return Planner(wanted, seen).plan();
}

std::vector<Action> plan_arbitration(const Wanted& wanted, const Seen& seen) {
  return Planner(wanted, seen).plan_arbitration();
}

bool needs_users(const Wanted& wanted, const Seen& seen) {
  if (!seen.device) return false;
  if (wanted.volume.deleting || wanted.volume.find_replica(wanted.here) == nullptr) return true;
  if (wanted.attached_here()) return wanted.attachment->release || was_left(wanted, seen);
  const bool primary = seen.resource && seen.resource->role == "Primary";
  return seen.linked || primary || !seen.mounts.empty();
}

bool frozen(const Seen& seen) {
  return seen.resource && seen.resource->role == "Primary" && seen.resource->suspended != "no";
}

bool needs_content(const Wanted& wanted, const Seen& seen) {
  if (frozen(seen)) return false;
  if (!device_usable(wanted, seen) || !seen.mounts.empty() || seen.calls.mounting > 0) return false;
  return wanted.volume.format != model::Format::Done || seen.calls.waiting > 0;
}

bool backing_is_gone(const Wanted& wanted, const Seen& seen) {
  const model::Replica* replica = wanted.volume.find_replica(wanted.here);
  if (replica == nullptr) return false;
  // Its metadata was never there.
  const bool complete = replica->gains_metadata ? seen.data.has_value()
                                                : find_missing_part(wanted.volume, seen).empty();
  return replica->made && !wanted.volume.deleting && !seen.backing_error &&
         seen.absence_is_certain && !complete && !has_disk(seen);
}

bool is_ready(const Wanted& wanted, const Seen& seen) {
  return device_usable(wanted, seen) && seen.linked && wanted.volume.format == model::Format::Done;
}

}  // namespace plexvol::reconcile
