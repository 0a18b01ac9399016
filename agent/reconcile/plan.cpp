#include "agent/reconcile/plan.h"

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

class Planner {
 public:
  Planner(const Wanted& wanted, const Seen& seen)
      : wanted_(wanted), seen_(seen), volume_(wanted.volume) {}

  std::vector<Action> run() {
    const model::Replica* replica = volume_.find_replica(wanted_.here);
    if (replica == nullptr) return {};
    if (volume_.deleting) {
      plan_removal();
    } else if (plan_letting_go()) {
      // Before all that could fail: what is broken can still be let go of.
    } else if (!replica->made) {
      plan_making();
    } else if (plan_foundation()) {
      plan_attachment();
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
    if (!seen_.data || (volume_.mirrored() && !seen_.metadata)) {
      const std::string what = seen_.data ? "DRBD metadata" : "data";
      fail(ErrorCode::Conflict,
           "the " + what + " of " + name() + " on " + wanted_.here +
               " is gone: its logical volume no longer exists in pool " + volume_.pool +
               ". It held data, so it is not made anew; bring it back, or delete the volume");
      return false;
    }
    const std::size_t before = actions_.size();
    plan_activation();
    if (volume_.mirrored()) {
      const auto& resource = seen_.resource;
      if (!seen_.config_current) add(ActionKind::WriteConfig);
      if (!seen_.config_current || !resource || resource->disk_state == "Diskless" ||
          resource->connection == "StandAlone") {
        add(ActionKind::Adjust);
      }
    }
    if (actions_.size() == before) return true;
    add(ActionKind::LookAgain);
    return false;
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
    const std::string peer = volume_.peer_of(wanted_.here);
    const auto& nodes = wanted_.current->nodes;
    const bool both_good = seen_.resource->connection == "Connected" &&
                           seen_.resource->disk_state == "UpToDate" &&
                           seen_.resource->peer_disk_state == "UpToDate";
    if (both_good && nodes.contains(wanted_.here) && !nodes.contains(peer)) {
      add(ActionKind::PutBack, peer);
    }
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
    for (auto mount = seen_.mounts.rbegin(); mount != seen_.mounts.rend(); ++mount) {
      add(ActionKind::Unmount, *mount);
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
    const std::string peer = volume_.peer_of(wanted_.here);
    const bool connected = seen_.resource->connection == "Connected";
    if (connected && seen_.resource->peer_role == "Primary") {
      return fail(ErrorCode::Unavailable,
                  name() + " is still in use on " + peer + ", which has not let go of it yet");
    }
    if (!wanted_.current || !wanted_.current->nodes.contains(wanted_.here)) {
      return fail(connected ? ErrorCode::Unavailable : ErrorCode::Conflict,
                  "the copy of " + name() + " on " + wanted_.here +
                      " may lack the newest writes and is not used alone: " +
                      (connected ? "it is being resynchronised from " + peer
                                 : "bring " + peer + " back, which has them"));
    }
    if (!connected) {
      if (wanted_.peer_alive && !seen_.connect_time_over) {
        return fail(ErrorCode::Unavailable, name() + " waits for its connection to " + peer);
      }
      add(ActionKind::AskArbiter, peer);
    }
    add(ActionKind::Promote);
    add(ActionKind::LookAgain);
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
    if (in_use()) return fail(ErrorCode::Conflict, "deletion waits: " + why_in_use());
    unmount_all();
    if (seen_.linked) add(ActionKind::Unlink);
    if (seen_.resource) add(ActionKind::Down);
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

const char* word_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::CreateData:
      return "CreateData";
    case ActionKind::CreateMetadataDevice:
      return "CreateMetadataDevice";
    case ActionKind::ActivateData:
      return "ActivateData";
    case ActionKind::ActivateMetadata:
      return "ActivateMetadata";
    case ActionKind::WipeData:
      return "WipeData";
    case ActionKind::CreateMetadata:
      return "CreateMetadata";
    case ActionKind::FinishMetadata:
      return "FinishMetadata";
    case ActionKind::FinishData:
      return "FinishData";
    case ActionKind::RecordMade:
      return "RecordMade";
    case ActionKind::WriteConfig:
      return "WriteConfig";
    case ActionKind::Adjust:
      return "Adjust";
    case ActionKind::AskArbiter:
      return "AskArbiter";
    case ActionKind::Promote:
      return "Promote";
    case ActionKind::Demote:
      return "Demote";
    case ActionKind::PutBack:
      return "PutBack";
    case ActionKind::Link:
      return "Link";
    case ActionKind::Unlink:
      return "Unlink";
    case ActionKind::Unmount:
      return "Unmount";
    case ActionKind::RecordFormatStarted:
      return "RecordFormatStarted";
    case ActionKind::MakeFilesystem:
      return "MakeFilesystem";
    case ActionKind::RecordFormatDone:
      return "RecordFormatDone";
    case ActionKind::CheckFilesystem:
      return "CheckFilesystem";
    case ActionKind::CompleteMountCalls:
      return "CompleteMountCalls";
    case ActionKind::RefuseRelease:
      return "RefuseRelease";
    case ActionKind::DropAttachment:
      return "DropAttachment";
    case ActionKind::Down:
      return "Down";
    case ActionKind::RemoveConfig:
      return "RemoveConfig";
    case ActionKind::RemoveMetadata:
      return "RemoveMetadata";
    case ActionKind::RemoveData:
      return "RemoveData";
    case ActionKind::ForgetReplica:
      return "ForgetReplica";
    case ActionKind::LookAgain:
      return "LookAgain";
    case ActionKind::Fail:
      return "Fail";
  }
  return "";
}

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

bool needs_content(const Wanted& wanted, const Seen& seen) {
  if (!device_usable(wanted, seen) || !seen.mounts.empty() || seen.calls.mounting > 0) return false;
  return wanted.volume.format != model::Format::Done || seen.calls.waiting > 0;
}

bool is_ready(const Wanted& wanted, const Seen& seen) {
  return device_usable(wanted, seen) && seen.linked && wanted.volume.format == model::Format::Done;
}

std::string to_text(const Action& action) {
  std::string text = word_of(action.kind);
  if (action.kind == ActionKind::Fail) text += " " + std::string(plexvol::to_text(action.code));
  if (!action.text.empty()) text += ": " + action.text;
  return text;
}

}  // namespace plexvol::reconcile
