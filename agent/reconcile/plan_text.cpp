// Actions in words, for the log and the tests.
#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

namespace {

// NOLINTNEXTLINE(readability-function-size): a table
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
    case ActionKind::Finish:
      return "Finish";
    case ActionKind::RecordMade:
      return "RecordMade";
    case ActionKind::WriteConfig:
      return "WriteConfig";
    case ActionKind::Adjust:
      return "Adjust";
    case ActionKind::AskArbiter:
      return "AskArbiter";
    case ActionKind::UseForced:
      return "UseForced";
    case ActionKind::LeaveSet:
      return "LeaveSet";
    case ActionKind::TakeOut:
      return "TakeOut";
    case ActionKind::Disconnect:
      return "Disconnect";
    case ActionKind::ResumeIo:
      return "ResumeIo";
    case ActionKind::KillUsers:
      return "KillUsers";
    case ActionKind::GiveUpDisk:
      return "GiveUpDisk";
    case ActionKind::ReconnectDiscarding:
      return "ReconnectDiscarding";
    case ActionKind::Promote:
      return "Promote";
    case ActionKind::PromoteByForce:
      return "PromoteByForce";
    case ActionKind::Demote:
      return "Demote";
    case ActionKind::PutBack:
      return "PutBack";
    case ActionKind::ReplacePeer:
      return "ReplacePeer";
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
    case ActionKind::RemoveBacking:
      return "RemoveBacking";
    case ActionKind::ForgetReplica:
      return "ForgetReplica";
    case ActionKind::LookAgain:
      return "LookAgain";
    case ActionKind::Fail:
      return "Fail";
  }
  return "";
}

}  // namespace

std::string to_text(const Action& action) {
  std::string text = word_of(action.kind);
  if (action.kind == ActionKind::Fail) text += " " + std::string(plexvol::to_text(action.code));
  if (!action.text.empty()) text += ": " + action.text;
  return text;
}

}  // namespace plexvol::reconcile
