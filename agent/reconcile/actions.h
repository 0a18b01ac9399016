// What a plan consists of: each action is a small struct with what it needs to know beside the
// situation that it was planned from. Each has one apply (apply.h) and one to_text.
#pragma once

#include <string>
#include <variant>

#include "agent/api/error.h"

namespace plexvol::reconcile {

namespace actions {

// --- Backing devices

struct CreateData {
  bool operator==(const CreateData&) const = default;
};
struct CreateMetadataDevice {
  bool operator==(const CreateMetadataDevice&) const = default;
};
struct ActivateData {
  bool operator==(const ActivateData&) const = default;
};
struct ActivateMetadata {
  bool operator==(const ActivateMetadata&) const = default;
};
struct GrowData {
  bool operator==(const GrowData&) const = default;
};
struct GrowMirror {
  bool operator==(const GrowMirror&) const = default;
};
struct WipeData {
  bool operator==(const WipeData&) const = default;
};
struct CreateMetadata {
  bool operator==(const CreateMetadata&) const = default;
};
// What stands so far is no longer in the making.
struct Finish {
  bool operator==(const Finish&) const = default;
};
struct RecordMade {
  bool operator==(const RecordMade&) const = default;
};

// --- DRBD and the current set

struct WriteConfig {
  bool operator==(const WriteConfig&) const = default;
};
struct Adjust {
  bool operator==(const Adjust&) const = default;
};
// This and the next five change the set. They do nothing when it is not the one that was planned
// from.
struct AskArbiter {
  std::string peer;
  bool operator==(const AskArbiter&) const = default;
};
// Takes the word of the user who chose this copy though it had no disk; counts once.
struct UseForced {
  bool operator==(const UseForced&) const = default;
};
// Arbiter rule 1: this node's copy must not count: its disk has failed, or it is about to part from
// `peer`.
struct LeaveSet {
  std::string peer;
  bool operator==(const LeaveSet&) const = default;
};
// Arbiter rule 1: the copy of `peer` must not count.
struct TakeOut {
  std::string peer;
  bool operator==(const TakeOut&) const = default;
};
struct PutBack {
  std::string peer;
  bool operator==(const PutBack&) const = default;
};
struct ReplacePeer {
  std::string peer;
  bool operator==(const ReplacePeer&) const = default;
};
// For a volume that has one copy: DRBD comes over it, and another node has a second one made. Not
// while the volume is attached anywhere, as with the next two.
struct GainMirror {
  bool operator==(const GainMirror&) const = default;
};
// From then on the copy here is used without DRBD.
struct DropMirror {
  bool operator==(const DropMirror&) const = default;
};
// What is left of it after that.
struct RemoveMirror {
  bool operator==(const RemoveMirror&) const = default;
};
struct Disconnect {
  bool operator==(const Disconnect&) const = default;
};
struct ResumeIo {
  bool operator==(const ResumeIo&) const = default;
};
struct KillUsers {
  bool operator==(const KillUsers&) const = default;
};
struct GiveUpDisk {
  bool operator==(const GiveUpDisk&) const = default;
};
struct ReconnectDiscarding {
  bool operator==(const ReconnectDiscarding&) const = default;
};
struct Promote {
  bool operator==(const Promote&) const = default;
};
struct PromoteByForce {
  bool operator==(const PromoteByForce&) const = default;
};
struct Demote {
  bool operator==(const Demote&) const = default;
};

// --- The use of the volume

struct Link {
  std::string device;
  bool operator==(const Link&) const = default;
};
struct Unlink {
  bool operator==(const Unlink&) const = default;
};
struct Unmount {
  std::string mount_point;
  bool operator==(const Unmount&) const = default;
};
struct RecordFormatStarted {
  bool operator==(const RecordFormatStarted&) const = default;
};
struct MakeFilesystem {
  bool operator==(const MakeFilesystem&) const = default;
};
struct RecordFormatDone {
  bool operator==(const RecordFormatDone&) const = default;
};
struct CheckFilesystem {
  bool operator==(const CheckFilesystem&) const = default;
};
// While it is mounted. When it fails, as GrowData may, the volume is as usable as before.
struct GrowFilesystem {
  bool operator==(const GrowFilesystem&) const = default;
};
struct CompleteMountCalls {
  bool operator==(const CompleteMountCalls&) const = default;
};
struct RefuseRelease {
  std::string reason;
  bool operator==(const RefuseRelease&) const = default;
};
struct DropAttachment {
  bool operator==(const DropAttachment&) const = default;
};

// --- Removal

struct Down {
  bool operator==(const Down&) const = default;
};
struct RemoveConfig {
  bool operator==(const RemoveConfig&) const = default;
};
struct RemoveBacking {
  bool operator==(const RemoveBacking&) const = default;
};
struct ForgetReplica {
  bool operator==(const ForgetReplica&) const = default;
};
// What comes next depends on what the actions before it made.
struct LookAgain {
  bool operator==(const LookAgain&) const = default;
};
// Says why nothing more can be done. Unavailable: try again later.
struct Fail {
  ErrorCode code = ErrorCode::Unavailable;
  std::string reason;
  bool operator==(const Fail&) const = default;
};

}  // namespace actions

using Action = std::variant<
    actions::CreateData, actions::CreateMetadataDevice, actions::ActivateData,
    actions::ActivateMetadata, actions::GrowData, actions::GrowMirror, actions::WipeData,
    actions::CreateMetadata, actions::Finish, actions::RecordMade, actions::WriteConfig,
    actions::Adjust, actions::AskArbiter, actions::UseForced, actions::LeaveSet, actions::TakeOut,
    actions::PutBack, actions::ReplacePeer, actions::GainMirror, actions::DropMirror,
    actions::RemoveMirror, actions::Disconnect, actions::ResumeIo, actions::KillUsers,
    actions::GiveUpDisk, actions::ReconnectDiscarding, actions::Promote, actions::PromoteByForce,
    actions::Demote, actions::Link, actions::Unlink, actions::Unmount, actions::RecordFormatStarted,
    actions::MakeFilesystem, actions::RecordFormatDone, actions::CheckFilesystem,
    actions::GrowFilesystem, actions::CompleteMountCalls, actions::RefuseRelease,
    actions::DropAttachment, actions::Down, actions::RemoveConfig, actions::RemoveBacking,
    actions::ForgetReplica, actions::LookAgain, actions::Fail>;

// It is one of these.
template <class... Kinds>
bool is(const Action& action) {
  return (std::holds_alternative<Kinds>(action) || ...);
}

// "Promote", "Unmount: /mnt", "Fail Conflict: ...": one a line, for the golden tests and the log.
std::string to_text(const Action& action);

}  // namespace plexvol::reconcile
