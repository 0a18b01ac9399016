#include "agent/reconcile/plan.h"

#include <algorithm>
#include <utility>

#include "agent/reconcile/planner.h"

namespace plexvol::reconcile {

namespace {

bool device_usable(const Wanted& wanted, const Seen& seen) {
  const bool primary = seen.resource && seen.resource->role == "Primary";
  return wanted.attached_here() && seen.device && (!wanted.volume.mirrored() || primary);
}

}  // namespace

std::string describe(const std::vector<filesystem::User>& users) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < users.size() && i < kShown; ++i) {
    if (i > 0) text += "; ";
    const filesystem::User& user = users[i];
    text += user.pid == 0
                ? "the kernel " + user.what
                : "process " + std::to_string(user.pid) + " (" + user.command + ") " + user.what;
  }
  if (users.size() > kShown) text += "; and " + std::to_string(users.size() - kShown) + " more";
  return text;
}

std::string describe(const PodUse& pod, const std::string& node) {
  const pods::Verdict& verdict = pod.verdict;
  const std::string who = verdict.name.empty() ? "pod uid " + pod.uid
                                               : "pod " + verdict.name + " (uid " + pod.uid + ")";
  std::string text = who + ", " + verdict.why + "; " + verdict.advice;
  if (verdict.life == pods::Life::Unknown) {
    text += "; if the pod is gone, `plexvol unmount " + pod.mount + "` on " + node + " ends this";
  }
  return text;
}

bool was_left(const Wanted& wanted, const Seen& seen) {
  return wanted.attached_here() && wanted.attachment->holder == model::Holder::Mount &&
         seen.mounts.empty() && seen.calls.waiting + seen.calls.mounting == 0;
}

bool disk_usable(const drbd::ResourceState& resource) {
  return resource.disk_state == "UpToDate" || resource.disk_state == "Consistent";
}

std::vector<Action> Planner::run() {
  const model::Replica* replica = volume_.find_replica(wanted_.here);
  if (!volume_.concerns(wanted_.here)) return {};
  if (!wanted_.contradiction.empty()) {
    plan_contradicted();
  } else if (volume_.deleting) {
    plan_removal();
  } else if (replica == nullptr) {
    plan_leaving();
  } else if (seen_.resource_is_foreign) {
    refuse_foreign_resource();
  } else if (!plan_parting() && !plan_freeze() && !plan_letting_go()) {
    // The first two before all that could hang on a device that answers nobody, the last one
    // before all that could fail: what is broken can still be let go of.
    plan_rest(*replica);
  }
  return std::move(actions_);
}

void Planner::plan_rest(const model::Replica& replica) {
  if (seen_.backing_error) {
    plan_failed_disks();
    fail(seen_.backing_error->code(), seen_.backing_error->what());
  } else if (!replica.made) {
    plan_making();
  } else if (plan_foundation()) {
    plan_attachment();
    if (actions_.empty()) plan_replacement();
  }
  const auto ends_here = [](const Action& action) {
    return action.kind == ActionKind::Fail || action.kind == ActionKind::LookAgain;
  };
  if (!held_by_.empty() && std::ranges::none_of(actions_, ends_here)) {
    fail(ErrorCode::Unavailable, held_by_);
  }
}

// Only what changes nothing for the data: who uses the volume here may mount it once more.
void Planner::plan_contradicted() {
  const bool is_used_here = wanted_.attached_here() && primary() && !frozen(seen_);
  if (is_used_here && seen_.device && volume_.format == model::Format::Done) plan_mount_calls();
  if (actions_.empty()) fail(ErrorCode::Conflict, wanted_.contradiction);
}

void Planner::refuse_foreign_resource() {
  fail(ErrorCode::Conflict,
       name() + ": DRBD on " + wanted_.here + " has a resource named " + volume_.name +
           " that belongs to something else or to an older volume of this name, and it is not "
           "touched: see `drbdsetup status " +
           volume_.name +
           "`; once nobody needs it, take it down, or delete this volume and choose another name");
}

std::vector<Action> Planner::run_arbitration() {
  if (!volume_.mirrored() || !volume_.concerns(wanted_.here)) return {};
  if (!wanted_.contradiction.empty()) return {};
  if (volume_.deleting) {
    if (frozen(seen_)) plan_removal();
  } else if (!plan_parting() && volume_.find_replica(wanted_.here) != nullptr && !plan_freeze()) {
    plan_failed_disks();
    plan_put_back();
  }
  return std::move(actions_);
}

// Logical volumes and, for a mirrored volume, the DRBD resource over them. False: the rest has
// to wait.
bool Planner::plan_foundation() {
  const std::size_t before = actions_.size();
  if (plan_failed_disks()) {
    add(ActionKind::LookAgain);  // the peer is out: what is due now depends on that
    return false;
  }
  if (refuse_strangers()) return false;
  if (!seen_.data || (volume_.mirrored() && !seen_.metadata)) {
    fail_loss();
    return false;
  }
  plan_activation();
  if (volume_.mirrored()) plan_resource();
  if (actions_.size() == before) return true;
  if (actions_.back().kind != ActionKind::Fail) add(ActionKind::LookAgain);
  return false;
}

void Planner::plan_resource() {
  const auto& resource = seen_.resource;
  // A primary without a disk works on its peer's. Given its own back it would be resynchronised
  // under it, and when the link breaks then, DRBD ends what waits as a success by itself.
  if (primary() && has_no_disk()) return;
  if (has_no_disk() && !diskless()) {
    return fail(ErrorCode::Unavailable, name() + ": the disk of the replica on " + wanted_.here +
                                            " has just failed; waits until DRBD has detached it");
  }
  if (!plan_lone_disk()) return;
  // Bump the epoch before bringing up a replica that is not in the set, so that a stale observation
  // cannot put it back.
  if (!resource && !is_current(wanted_.here) && is_current(peer())) {
    add(ActionKind::LeaveSet, peer());
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
  add(worthless ? ActionKind::ReconnectDiscarding : ActionKind::Adjust);
}

// Rule 1: a change of the configuration may part the two in peace, and then a primary goes on
// without asking anyone. So a primary takes its peer out before, and a secondary leaves. Only
// resync options never part them: else an upgrade with another default would make all volumes
// rejoin.
void Planner::plan_configuration() {
  if (seen_.only_resync_options_changed) return add(ActionKind::WriteConfig);
  const bool is_out_already = !actions_.empty() && actions_.back().kind == ActionKind::LeaveSet;
  if (together() && !is_out_already) {
    add(primary() ? ActionKind::TakeOut : ActionKind::LeaveSet, peer());
  }
  // The connection itself changes: a primary at its other end must notice nothing that ends in
  // peace. Also when none is connected now, since one may be by then.
  const bool survives = is_current(wanted_.here) && !is_current(peer());
  const bool leaves = together() && !primary();
  if (seen_.resource && !seen_.connection_current && (survives || leaves)) {
    add(ActionKind::Disconnect);
  }
  add(ActionKind::WriteConfig);
}

void Planner::plan_attachment() {
  if (plan_put_back()) return;
  if (!wanted_.attached_here()) return plan_unattached();
  if (volume_.mirrored() && !primary()) return plan_promotion();
  if (plan_format()) plan_mount_calls();
}

// False: it stays. A refused request is no reason not to go on with the rest.
bool Planner::plan_letting_go() {
  if (!wanted_.attached_here()) return false;
  // Without its device nobody can tell where it is mounted. DRBD's own is found without lvm2.
  if (seen_.backing_error && !volume_.mirrored()) return false;
  const auto& release = wanted_.attachment->release;
  if (was_left(wanted_, seen_)) {
    if (seen_.users.empty()) {
      let_go();
      return true;
    }
    // Told at the end: a failed disk must be taken out all the same, and a whole peer put back.
    held_by_ = name() + " is no longer mounted on " + wanted_.here + ", but still " +
               describe(seen_.users);
    return false;
  }
  if (!release || seen_.refused_release == release->id) return false;
  if (!in_use()) {
    let_go();
    return true;
  }
  add(ActionKind::RefuseRelease, why_in_use());
  return false;
}

std::string Planner::why_in_use() const {
  if (!seen_.users.empty()) {
    return name() + " is in use on " + wanted_.here + ": " + describe(seen_.users);
  }
  if (seen_.pod) {
    return name() + " is in use on " + wanted_.here + ": mounted for " +
           describe(*seen_.pod, wanted_.here);
  }
  return "a mount of " + name() + " is under way on " + wanted_.here;
}

void Planner::plan_unattached() {
  if (has_users() || seen_.calls.mounting > 0) {
    const std::string holder = wanted_.attachment ? "attached to " + wanted_.attachment->node
                                                  : std::string("not attached to any node");
    return fail(ErrorCode::Conflict, name() + " is " + holder + ", but " + why_in_use());
  }
  unmount_all();
  if (seen_.linked) add(ActionKind::Unlink);
  if (primary()) add(ActionKind::Demote);
}

void Planner::unmount_all() {
  // The last one first. Not std::views::reverse: clang 14 cannot read GCC's ranges.
  // NOLINTNEXTLINE(modernize-loop-convert)
  for (auto mount = seen_.mounts.rbegin(); mount != seen_.mounts.rend(); ++mount) {
    add(ActionKind::Unmount, *mount);
  }
}

void Planner::let_go() {
  unmount_all();
  if (seen_.linked) add(ActionKind::Unlink);
  if (primary()) add(ActionKind::Demote);
  add(ActionKind::DropAttachment);
  add(ActionKind::LookAgain);
}

// True: there is a file system, and it is this volume's.
bool Planner::plan_format() {
  if (!seen_.device) {
    fail(ErrorCode::Unavailable, "the device of " + name() + " has not appeared yet");
    return false;
  }
  if (volume_.format == model::Format::Done) return true;
  if (!seen_.content) return false;  // mounted although never formatted: left alone
  const filesystem::Probe& content = *seen_.content;
  const bool empty = content.content == filesystem::Content::Empty;
  const bool stranger = content.content == filesystem::Content::Known && content.uuid != volume_.id;
  const bool may_format = volume_.format == model::Format::Never ? empty : !stranger;
  if (!may_format) {
    fail(ErrorCode::Conflict, seen_.device->path + " of the new " + name() + " holds " +
                                  content.detail +
                                  ", which Plexvol did not put there; only what is surely empty "
                                  "is formatted");
    return false;
  }
  if (volume_.format == model::Format::Never) add(ActionKind::RecordFormatStarted);
  add(ActionKind::MakeFilesystem);
  add(ActionKind::RecordFormatDone);
  add(ActionKind::LookAgain);
  return false;
}

void Planner::plan_mount_calls() {
  if (!seen_.linked) add(ActionKind::Link, seen_.device->path);
  if (seen_.calls.waiting == 0) {
    if (!seen_.linked) add(ActionKind::LookAgain);
    return;
  }
  // One more mount would show the same file system, and each access to it fail.
  if (!seen_.mounted_fault.empty()) {
    std::string mounts;
    for (const std::string& mount : seen_.mounts) mounts += (mounts.empty() ? "" : ", ") + mount;
    return fail(ErrorCode::Conflict,
                name() + ": its file system on " + wanted_.here + " " + seen_.mounted_fault +
                    " and must be unmounted everywhere before it can be mounted again, which "
                    "repairs it; delete the pods that use it: " +
                    mounts);
  }
  // While it is mounted, or may be at any moment, it was checked already and must not be
  // touched.
  if (seen_.content) {
    const filesystem::Probe& content = *seen_.content;
    const bool is_ours = content.content == filesystem::Content::Known &&
                         content.type == volume_.fs_type && content.uuid == volume_.id;
    if (!is_ours) {
      return fail(ErrorCode::Conflict, name() + " was formatted as " + volume_.fs_type + ", but " +
                                           seen_.device->path + " on " + wanted_.here +
                                           " now holds " + describe_content() +
                                           "; it is neither mounted nor formatted again");
    }
    if (!seen_.just_formatted) add(ActionKind::CheckFilesystem);
  }
  add(ActionKind::CompleteMountCalls);
  add(ActionKind::LookAgain);
}

// A file system that was put there by somebody else differs in its UUID alone.
std::string Planner::describe_content() const {
  const filesystem::Probe& content = *seen_.content;
  if (content.content == filesystem::Content::Empty) return "nothing, it is empty";
  if (content.type != volume_.fs_type || content.uuid == volume_.id) return content.detail;
  return content.detail + " with the UUID " + content.uuid + " instead of " + volume_.id;
}

std::vector<Action> plan(const Wanted& wanted, const Seen& seen) {
  return Planner(wanted, seen).run();
}

std::vector<Action> plan_arbitration(const Wanted& wanted, const Seen& seen) {
  return Planner(wanted, seen).run_arbitration();
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
  const bool complete = seen.data && (!wanted.volume.mirrored() || seen.metadata);
  return replica != nullptr && replica->made && !wanted.volume.deleting && !seen.backing_error &&
         seen.absence_is_certain && !complete && !has_disk(seen);
}

bool is_ready(const Wanted& wanted, const Seen& seen) {
  return device_usable(wanted, seen) && seen.linked && wanted.volume.format == model::Format::Done;
}

}  // namespace plexvol::reconcile
