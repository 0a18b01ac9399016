// What is planned of the volume's use on this node: how it is let go of, formatted and mounted.
#include <fmt/core.h>

#include <algorithm>

#include "agent/base/text.h"
#include "agent/filesystem/find_use.h"
#include "agent/filesystem/probe.h"
#include "agent/reconcile/planner.h"
#include "agent/reconcile/stack.h"

namespace plexvol::reconcile {

std::string describe(const std::vector<filesystem::User>& users) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < users.size() && i < kShown; ++i) {
    if (i > 0) text += "; ";
    const filesystem::User& user = users[i];
    text += user.pid == 0 ? "the kernel " + user.what
                          : fmt::format("process {} ({}) {}", user.pid, user.command, user.what);
  }
  if (users.size() > kShown) text += fmt::format("; and {} more", users.size() - kShown);
  return text;
}

std::string describe(const PodUse& pod, const std::string& node) {
  const pods::Verdict& verdict = pod.verdict;
  const std::string who = verdict.name.empty()
                              ? "pod uid " + pod.uid
                              : fmt::format("pod {} (uid {})", verdict.name, pod.uid);
  std::string text = fmt::format("{}, {}; {}", who, verdict.why, verdict.advice);
  if (verdict.life == pods::Life::Unknown) {
    text += fmt::format("; if the pod is gone, run `plexvol unmount {}` on {}", pod.mount, node);
  }
  return text;
}

bool was_left(const Wanted& wanted, const Seen& seen) {
  return wanted.attached_here() && wanted.attachment->holder == model::Holder::Mount &&
         seen.mounts.empty() && seen.calls.waiting + seen.calls.mounting == 0;
}

// A refused request is no reason not to go on with the rest.
Then Planner::let_go_when_asked() {
  if (!wanted_.attached_here()) return Then::GoOn;
  // Without its device nobody can tell where it is mounted. DRBD's own is found without lvm2.
  if (seen_.backing_error && layers_of(volume_).back() == Layer::Backing) return Then::GoOn;
  const auto& release = wanted_.attachment->release;
  if (was_left(wanted_, seen_)) {
    if (seen_.users.empty()) {
      let_go();
      return Then::End;
    }
    // Told at the end: a failed disk must be taken out all the same, and a whole peer put back.
    held_by_ = fmt::format("{} is no longer mounted on {}, but still {}", name(), wanted_.here,
                           describe(seen_.users));
    return Then::GoOn;
  }
  if (!release || seen_.refused_release == release->id) return Then::GoOn;
  if (!in_use()) {
    let_go();
    return Then::End;
  }
  add(actions::RefuseRelease{why_in_use()});
  return Then::GoOn;
}

std::string Planner::why_in_use() const {
  if (!seen_.users.empty()) {
    return fmt::format("{} is in use on {}: {}", name(), wanted_.here, describe(seen_.users));
  }
  if (seen_.pod) {
    return fmt::format("{} is in use on {}: mounted for {}", name(), wanted_.here,
                       describe(*seen_.pod, wanted_.here));
  }
  return fmt::format("{} is being mounted on {}", name(), wanted_.here);
}

Then Planner::leave_unattached() {
  if (!wanted_.attached_here()) take_out_of_use();
  return Then::GoOn;
}

void Planner::take_out_of_use() {
  if (has_users() || seen_.calls.mounting > 0) {
    const std::string holder = wanted_.attachment ? "attached to " + wanted_.attachment->node
                                                  : std::string("not attached to any node");
    return fail(ErrorCode::Conflict, fmt::format("{} is {}, but {}", name(), holder, why_in_use()));
  }
  stop_using();
}

void Planner::stop_using() {
  unmount_all();
  if (seen_.linked) add(actions::Unlink{});
  if (primary()) add(actions::Demote{});
}

void Planner::unmount_all() {
  // The last one first. Not std::views::reverse: clang 14 cannot read GCC's ranges.
  // NOLINTNEXTLINE(modernize-loop-convert)
  for (auto mount = seen_.mounts.rbegin(); mount != seen_.mounts.rend(); ++mount) {
    add(actions::Unmount{*mount});
  }
}

void Planner::let_go() {
  stop_using();
  add(actions::DropAttachment{});
  add(actions::LookAgain{});
}

Then Planner::format() {
  if (!wanted_.attached_here()) return Then::GoOn;
  if (!seen_.device) {
    fail(ErrorCode::Unavailable, fmt::format("{}: its device has not appeared yet", name()));
    return Then::End;
  }
  if (volume_.format == model::Format::Done) return Then::GoOn;
  if (!seen_.content) return Then::GoOn;  // mounted although never formatted: left alone
  const filesystem::Probe& content = *seen_.content;
  const bool empty = content.content == filesystem::Content::Empty;
  const bool stranger = content.content == filesystem::Content::Known && content.uuid != volume_.id;
  const bool may_format = volume_.format == model::Format::Never ? empty : !stranger;
  if (!may_format) {
    fail(ErrorCode::Conflict,
         fmt::format(
             "{}: {} holds {}, which Plexvol did not put there; only an empty device is formatted",
             name(), seen_.device->path, content.detail));
    return Then::End;
  }
  if (volume_.format == model::Format::Never) add(actions::RecordFormatStarted{});
  add(actions::MakeFilesystem{});
  add(actions::RecordFormatDone{});
  add(actions::LookAgain{});
  return Then::End;
}

Then Planner::answer_mount_calls() {
  if (wanted_.attached_here() && volume_.format == model::Format::Done) plan_mount_calls();
  return Then::GoOn;
}

void Planner::plan_mount_calls() {
  if (!seen_.linked) add(actions::Link{seen_.device->path});
  if (seen_.calls.waiting == 0) {
    if (!seen_.linked) add(actions::LookAgain{});
    return;
  }
  // One more mount would show the same file system, and each access to it fail.
  if (!seen_.mounted_fault.empty()) {
    return fail(
        ErrorCode::Conflict,
        fmt::format("{}: its file system on {} {} and must be unmounted everywhere before it can "
                    "be mounted again, which repairs it; delete the pods that use it: {}",
                    name(), wanted_.here, seen_.mounted_fault, base::join(seen_.mounts)));
  }
  // While it is mounted, or may be at any moment, it was checked already and must not be
  // touched.
  if (seen_.content) {
    const filesystem::Probe& content = *seen_.content;
    const bool is_ours = content.content == filesystem::Content::Known &&
                         content.type == volume_.fs_type && content.uuid == volume_.id;
    if (!is_ours) {
      return fail(ErrorCode::Conflict, fmt::format("{} was formatted as {}, but {} on {} now holds "
                                                   "{}; it is neither mounted nor formatted again",
                                                   name(), volume_.fs_type, seen_.device->path,
                                                   wanted_.here, describe_content()));
    }
    if (!seen_.just_formatted) add(actions::CheckFilesystem{});
  }
  add(actions::CompleteMountCalls{});
  add(actions::LookAgain{});
}

// A file system that was put there by somebody else differs in its UUID alone.
std::string Planner::describe_content() const {
  const filesystem::Probe& content = *seen_.content;
  if (content.content == filesystem::Content::Empty) return "nothing";
  if (content.type != volume_.fs_type || content.uuid == volume_.id) return content.detail;
  return fmt::format("{} with the UUID {} instead of {}", content.detail, content.uuid, volume_.id);
}

Then Planner::tell_holder() {
  const auto ends_here = [](const Action& action) {
    return is<actions::Fail, actions::LookAgain>(action);
  };
  if (!held_by_.empty() && std::ranges::none_of(actions_, ends_here)) {
    fail(ErrorCode::Unavailable, held_by_);
  }
  return Then::GoOn;
}

}  // namespace plexvol::reconcile
