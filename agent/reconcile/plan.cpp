#include "agent/reconcile/plan.h"

#include <algorithm>
#include <ranges>
#include <utility>

namespace plexvol::reconcile {

namespace {

// "12 (postgres) has /var/lib/... open; 14 (sh) ..." : enough to find them, short enough for one
// line.
std::string describe(const std::vector<filesystem::User>& users) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < users.size() && i < kShown; ++i) {
    if (i > 0) text += "; ";
    text +=
        "process " + std::to_string(users[i].pid) + " (" + users[i].command + ") " + users[i].what;
  }
  if (users.size() > kShown) text += "; and " + std::to_string(users.size() - kShown) + " more";
  return text;
}

// Attached by a mount, and the last mount is gone.
bool was_left(const Wanted& wanted, const Seen& seen) {
  return wanted.attached_here() && wanted.attachment->holder == model::Holder::Mount &&
         seen.mounts.empty() && seen.calls.waiting + seen.calls.mounting == 0;
}

// DRBD's word is necessary, though never sufficient (rule 3).
bool disk_usable(const drbd::ResourceState& resource) {
  return resource.disk_state == "UpToDate" || resource.disk_state == "Consistent";
}

class Planner {
 public:
  Planner(const Wanted& wanted, const Seen& seen)
      : wanted_(wanted), seen_(seen), volume_(wanted.volume) {}

  std::vector<Action> run() {
    const model::Replica* replica = volume_.find_replica(wanted_.here);
    if (!volume_.concerns(wanted_.here)) return {};
    if (volume_.deleting) {
      plan_removal();
    } else if (replica == nullptr) {
      plan_leaving();
    } else if (plan_parting() || plan_freeze() || plan_letting_go()) {
      // The first two before all that could hang on a device that answers nobody, the last one
      // before all that could fail: what is broken can still be let go of.
    } else if (seen_.backing_error) {
      plan_failed_disks();
      fail(seen_.backing_error->code(), seen_.backing_error->what());
    } else if (!replica->made) {
      plan_making();
    } else if (plan_foundation()) {
      plan_attachment();
      if (actions_.empty()) plan_replacement();
    }
    return std::move(actions_);
  }

 private:
  void add(ActionKind kind, std::string text = "") { actions_.push_back({kind, std::move(text)}); }
  void fail(ErrorCode code, std::string text) {
    actions_.push_back({ActionKind::Fail, std::move(text), code});
  }
  std::string name() const { return "volume " + volume_.name; }
  bool primary() const { return seen_.resource && seen_.resource->role == "Primary"; }
  bool connected() const { return seen_.resource && seen_.resource->connection == "Connected"; }
  bool is_current(const std::string& node) const {
    return wanted_.current && wanted_.current->nodes.contains(node);
  }
  std::string peer() const { return volume_.peer_of(wanted_.here); }
  bool disk_usable() const { return reconcile::disk_usable(*seen_.resource); }
  bool in_use() const {
    return seen_.calls.waiting + seen_.calls.mounting > 0 || !seen_.users.empty();
  }

  bool refuse_strangers() {
    for (const auto* backing : {&seen_.data, &seen_.metadata}) {
      if (*backing && !(*backing)->ours) {
        fail(ErrorCode::Conflict,
             (*backing)->device + " on " + wanted_.here + " was not made for this " + name() +
                 " and is not touched: remove or rename it, or choose another volume name");
        return true;
      }
    }
    return false;
  }

  // Survives a crash at any line: what is unfinished carries the tag `making` until all of it
  // stands.
  void plan_making() {
    if (refuse_strangers()) return;
    const bool wants_metadata = volume_.mirrored();
    if (!seen_.data) add(ActionKind::CreateData);
    if (wants_metadata && !seen_.metadata) add(ActionKind::CreateMetadataDevice);
    const bool complete = seen_.data && (seen_.metadata || !wants_metadata);
    if (!complete) return add(ActionKind::LookAgain);

    plan_activation();
    if (seen_.data->making) add(ActionKind::WipeData);
    if (wants_metadata && seen_.metadata->making) {
      add(ActionKind::CreateMetadata);
      add(ActionKind::FinishMetadata);
    }
    if (seen_.data->making) add(ActionKind::FinishData);
    add(ActionKind::RecordMade);
    add(ActionKind::LookAgain);
  }

  void plan_activation() {
    if (seen_.data && !seen_.data->active) add(ActionKind::ActivateData);
    if (seen_.metadata && !seen_.metadata->active) add(ActionKind::ActivateMetadata);
  }

  // Logical volumes and, for a mirrored volume, the DRBD resource over them. False: the rest has to
  // wait.
  bool plan_foundation() {
    if (refuse_strangers()) return false;
    const std::size_t before = actions_.size();
    plan_failed_disks();
    if (!seen_.data || (volume_.mirrored() && !seen_.metadata)) {
      const std::string what = seen_.data ? "DRBD metadata" : "data";
      fail(ErrorCode::Conflict,
           "the " + what + " of " + name() + " on " + wanted_.here +
               " is gone: its logical volume no longer exists in pool " + volume_.pool +
               ". It held data, so it is not made anew; bring it back, or delete the volume");
      return false;
    }
    plan_activation();
    if (volume_.mirrored()) plan_resource();
    if (actions_.size() == before) return true;
    add(ActionKind::LookAgain);
    return false;
  }

  void plan_resource() {
    const auto& resource = seen_.resource;
    // A primary without a disk works on its peer's. Given its own back it would be resynchronised
    // under it, and when the link breaks then, DRBD ends what waits as a success by itself.
    if (primary() && resource->disk_state == "Diskless") return;
    // What is out, and comes up now, must not be put back by a look from before.
    if (!resource && !is_current(wanted_.here) && is_current(peer())) {
      add(ActionKind::LeaveSet, peer());
    }
    if (!seen_.config_current) {
      // Rule 1: a change of the configuration may part the two in peace, and then a primary goes on
      // without asking anyone.
      if (connected() && is_current(wanted_.here) && is_current(peer())) {
        add(primary() ? ActionKind::TakeOut : ActionKind::LeaveSet, peer());
      }
      // The peer was replaced: the former one must notice nothing that ends in peace.
      if (connected() && is_current(wanted_.here) && !is_current(peer())) {
        add(ActionKind::Disconnect);
      }
      add(ActionKind::WriteConfig);
    }
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

  // Rule 1: what a failed disk lacks from now on, nobody may miss later. Whoever sees it first
  // takes it out: this node itself, or its peer.
  void plan_failed_disks() {
    if (!volume_.mirrored() || !is_current(peer())) return;
    const auto failed = [](const std::string& disk) {
      return disk == "Diskless" || disk == "Failed";
    };
    const bool own_gone = !seen_.backing_error && (!seen_.data || !seen_.metadata);
    // A connected peer sends nothing to who has no disk, and yet it misses all of it.
    const bool just_made = seen_.resource && seen_.resource->untouched && !connected();
    const bool own_failed = seen_.resource && failed(seen_.resource->disk_state) && !just_made;
    if (own_gone || own_failed) {
      // Also when it is out already, before it is attached again: the peer may be about to put it
      // back by an older look.
      if (is_current(wanted_.here) || !primary()) add(ActionKind::LeaveSet, peer());
      return;
    }
    // One that is only behind goes, too: a primary that loses such a peer goes on unasked.
    const std::string peer_disk = seen_.resource ? seen_.resource->peer_disk_state : "";
    const bool peer_behind = peer_disk == "Inconsistent" || peer_disk == "Outdated";
    if (is_current(wanted_.here) && connected() && seen_.resource->disk_state == "UpToDate" &&
        (failed(peer_disk) || peer_behind)) {
      add(ActionKind::TakeOut, peer());
    }
  }

  // A primary that is not in the set has lost, and must stop for good, unless it works on its
  // peer's good copy anyway. Rule 4: nobody may be told of a success that is about to be thrown
  // away, so its users are killed, and seen to be, before the copy is given up and the rest is
  // thawed.
  bool plan_parting() {
    if (!primary() || !wanted_.current || is_current(wanted_.here)) return false;
    if (connected() && seen_.resource->peer_disk_state == "UpToDate") return false;
    // Apart, and told to the store once more: from here on nothing that anybody saw before can
    // connect it or put it back.
    add(ActionKind::Disconnect);
    // A copy that was replaced is no longer spoken of.
    if (volume_.find_replica(wanted_.here) != nullptr) add(ActionKind::LeaveSet, peer());
    add(ActionKind::KillUsers);
    add(ActionKind::GiveUpDisk);
    add(ActionKind::ResumeIo);
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    add(ActionKind::Demote);
    add(ActionKind::Down);
    add(ActionKind::LookAgain);
    return true;
  }

  // A frozen primary that is in the set: the kernel asks by itself, and only when nobody has
  // answered it (the agent was away, the store was), this agent ends the freeze. Rule 6: apart
  // first, so that nothing can connect between the question and the thaw.
  bool plan_freeze() {
    if (!frozen(seen_)) return false;
    const std::string what = "the I/O of " + name() + " on " + wanted_.here + " is held back ";
    if (seen_.resource->suspended.find("fencing") == std::string::npos) {
      fail(ErrorCode::Unavailable, what + "by somebody else (" + seen_.resource->suspended +
                                       "): `drbdsetup resume-io " + std::to_string(volume_.minor) +
                                       "` ends it");
    } else if (!disk_usable()) {
      // Who has nothing to go on with must not win.
      if (is_current(peer())) {
        add(ActionKind::LeaveSet, peer());
        add(ActionKind::LookAgain);
      } else {
        fail(ErrorCode::Conflict, what + "and its disk has failed, the last one that counts");
      }
    } else if (connected()) {
      fail(ErrorCode::Unavailable, what + "until DRBD and " + peer() + " have agreed");
    } else if (seen_.question_under_way || !seen_.question_time_over) {
      fail(ErrorCode::Unavailable, what + "until it is decided who goes on without the other");
    } else {
      add(ActionKind::Disconnect);
      add(ActionKind::AskArbiter, peer());
      add(ActionKind::ResumeIo);
      add(ActionKind::Adjust);
      add(ActionKind::LookAgain);
    }
    return true;
  }

  void plan_attachment() {
    plan_put_back();
    if (!wanted_.attached_here()) return plan_unattached();
    if (volume_.mirrored() && !primary()) return plan_promotion();
    if (plan_format()) plan_mount_calls();
  }

  // False: it stays. A refused request is no reason not to go on with the rest.
  bool plan_letting_go() {
    if (!wanted_.attached_here()) return false;
    const auto& release = wanted_.attachment->release;
    if (was_left(wanted_, seen_)) {
      if (seen_.users.empty()) {
        let_go();
      } else {
        fail(ErrorCode::Unavailable, name() + " is no longer mounted on " + wanted_.here +
                                         ", but still " + describe(seen_.users));
      }
      return true;
    }
    if (!release || seen_.refused_release == release->id) return false;
    if (!in_use()) {
      let_go();
      return true;
    }
    add(ActionKind::RefuseRelease, why_in_use());
    return false;
  }

  std::string why_in_use() const {
    if (!seen_.users.empty()) {
      return name() + " is in use on " + wanted_.here + ": " + describe(seen_.users);
    }
    return "a mount of " + name() + " is under way on " + wanted_.here;
  }

  // Rule 2 of the arbiter: what is wanted was read, and with it the revision of the set, before
  // anything was looked at.
  void plan_put_back() {
    if (!seen_.resource || !wanted_.current) return;
    const bool both_good = connected() && seen_.resource->disk_state == "UpToDate" &&
                           seen_.resource->peer_disk_state == "UpToDate";
    if (both_good && is_current(wanted_.here) && !is_current(peer())) {
      add(ActionKind::PutBack, peer());
    }
  }

  void plan_replacement() {
    if (!may_replace_peer(wanted_, seen_)) return;
    add(ActionKind::ReplacePeer, peer());
    add(ActionKind::LookAgain);
  }

  // What was replaced is taken out of use at once. Its data stays until it is worth nothing any
  // more.
  void plan_leaving() {
    if (plan_parting()) return;
    if (in_use())
      return fail(ErrorCode::Conflict,
                  "the copy on " + wanted_.here + " was replaced, but " + why_in_use());
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    if (primary()) add(ActionKind::Demote);
    if (seen_.resource) add(ActionKind::Down);
    if (!all_current()) return;
    if (seen_.backing_error) return fail(seen_.backing_error->code(), seen_.backing_error->what());
    plan_data_removal();
  }

  bool all_current() const {
    return std::ranges::all_of(volume_.nodes(),
                               [&](const std::string& node) { return is_current(node); });
  }

  void plan_unattached() {
    if (!seen_.users.empty() || seen_.calls.mounting > 0) {
      const std::string holder = wanted_.attachment ? "attached to " + wanted_.attachment->node
                                                    : std::string("not attached to any node");
      return fail(ErrorCode::Conflict, name() + " is " + holder + ", but " + why_in_use());
    }
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    if (primary()) add(ActionKind::Demote);
  }

  void unmount_all() {
    for (const std::string& mount : seen_.mounts | std::views::reverse) {
      add(ActionKind::Unmount, mount);
    }
  }

  void let_go() {
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    if (primary()) add(ActionKind::Demote);
    add(ActionKind::DropAttachment);
    add(ActionKind::LookAgain);
  }

  void plan_promotion() {
    if (connected() && seen_.resource->peer_role == "Primary") {
      return fail(ErrorCode::Unavailable,
                  name() + " is still in use on " + peer() + ", which has not let go of it yet");
    }
    if (!is_current(wanted_.here)) {
      return fail(connected() ? ErrorCode::Unavailable : ErrorCode::Conflict,
                  "the copy of " + name() + " on " + wanted_.here +
                      " may lack the newest writes and is not used alone: " +
                      (connected() ? "it is being resynchronised from " + peer()
                                   : "bring " + peer() + " back, which has them"));
    }
    // Before anybody is asked: a node that cannot be promoted must not take its peer out.
    const bool by_force = !disk_usable() && !connected() && may_be_forced();
    if (!disk_usable() && !by_force) {
      return fail(ErrorCode::Unavailable, "the disk of " + name() + " on " + wanted_.here + " is " +
                                              seen_.resource->disk_state +
                                              " and cannot be used before it has been "
                                              "resynchronised from " +
                                              peer());
    }
    if (!connected()) {
      if (wanted_.peer_alive && !seen_.connect_time_over) {
        return fail(ErrorCode::Unavailable, name() + " waits for its connection to " + peer());
      }
      add(ActionKind::AskArbiter, peer());
    }
    add(by_force ? ActionKind::PromoteByForce : ActionKind::Promote);
    add(ActionKind::LookAgain);
  }

  // A person has chosen this copy as it was then; half overwritten only when it was so already.
  bool may_be_forced() const {
    const auto& forced = wanted_.current->forced;
    const std::string& disk = seen_.resource->disk_state;
    return forced && forced->node == wanted_.here &&
           (disk == "Outdated" || (disk == "Inconsistent" && forced->disk_state == disk));
  }

  // True: there is a file system, and it is this volume's.
  bool plan_format() {
    if (!seen_.device) {
      fail(ErrorCode::Unavailable, "the device of " + name() + " has not appeared yet");
      return false;
    }
    if (volume_.format == model::Format::Done) return true;
    if (!seen_.content) return false;  // mounted although never formatted: left alone
    const filesystem::Probe& content = *seen_.content;
    const bool empty = content.content == filesystem::Content::Empty;
    const bool stranger =
        content.content == filesystem::Content::Known && content.uuid != volume_.id;
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

  void plan_mount_calls() {
    if (!seen_.linked) add(ActionKind::Link, seen_.device->path);
    if (seen_.calls.waiting == 0) {
      if (!seen_.linked) add(ActionKind::LookAgain);
      return;
    }
    // While it is mounted, or may be at any moment, it was checked already and must not be touched.
    if (seen_.content) {
      const filesystem::Probe& content = *seen_.content;
      if (content.content != filesystem::Content::Known || content.type != volume_.fs_type) {
        return fail(ErrorCode::Conflict, name() + " was formatted as " + volume_.fs_type +
                                             ", but " + seen_.device->path + " on " + wanted_.here +
                                             " now holds " + content.detail +
                                             "; it is neither mounted nor formatted again");
      }
      add(ActionKind::CheckFilesystem);
    }
    add(ActionKind::CompleteMountCalls);
    add(ActionKind::LookAgain);
  }

  // Each node removes its own part and needs no other for it.
  void plan_removal() {
    if (frozen(seen_)) {
      add(ActionKind::Disconnect);
      add(ActionKind::KillUsers);
      add(ActionKind::GiveUpDisk);
      add(ActionKind::ResumeIo);
      return add(ActionKind::LookAgain);
    }
    if (in_use()) return fail(ErrorCode::Conflict, "deletion waits: " + why_in_use());
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    if (seen_.resource) add(ActionKind::Down);
    plan_data_removal();
  }

  void plan_data_removal() {
    if (volume_.mirrored()) add(ActionKind::RemoveConfig);
    if (seen_.metadata && seen_.metadata->ours) add(ActionKind::RemoveMetadata);
    if (seen_.data && seen_.data->ours) add(ActionKind::RemoveData);
    add(ActionKind::ForgetReplica);
  }

  const Wanted& wanted_;
  const Seen& seen_;
  const model::Volume& volume_;
  std::vector<Action> actions_;
};

bool device_usable(const Wanted& wanted, const Seen& seen) {
  const bool primary = seen.resource && seen.resource->role == "Primary";
  return wanted.attached_here() && seen.device && (!wanted.volume.mirrored() || primary);
}

}  // namespace

std::vector<Action> plan(const Wanted& wanted, const Seen& seen) {
  return Planner(wanted, seen).run();
}

bool needs_users(const Wanted& wanted, const Seen& seen) {
  if (!seen.device) return false;
  if (wanted.volume.deleting) return true;
  if (wanted.attached_here()) return wanted.attachment->release || was_left(wanted, seen);
  const bool primary = seen.resource && seen.resource->role == "Primary";
  return seen.linked || primary || !seen.mounts.empty();
}

bool frozen(const Seen& seen) {
  return seen.resource && seen.resource->role == "Primary" && seen.resource->suspended != "no";
}

// The copy here has everything, so nothing but the second copy is at stake, and that one serves
// nobody.
bool may_replace_peer(const Wanted& wanted, const Seen& seen) {
  if (wanted.peer_fate == PeerFate::Stays || !seen.resource || !wanted.current) return false;
  const drbd::ResourceState& resource = *seen.resource;
  if (!wanted.current->nodes.contains(wanted.here) || !disk_usable(resource)) return false;
  if (resource.suspended != "no") return false;
  if (resource.connection != "Connected") return true;
  const std::string peer = wanted.volume.peer_of(wanted.here);
  const bool serves =
      resource.peer_role == "Primary" || (wanted.attachment && wanted.attachment->node == peer);
  return wanted.peer_fate == PeerFate::Drained && !serves;
}

bool needs_content(const Wanted& wanted, const Seen& seen) {
  if (frozen(seen)) return false;
  if (!device_usable(wanted, seen) || !seen.mounts.empty() || seen.calls.mounting > 0) return false;
  return wanted.volume.format != model::Format::Done || seen.calls.waiting > 0;
}

bool is_ready(const Wanted& wanted, const Seen& seen) {
  return device_usable(wanted, seen) && seen.linked && wanted.volume.format == model::Format::Done;
}

}  // namespace plexvol::reconcile
