// Actions in words, for the log and the tests.
#include "agent/reconcile/actions.h"

namespace plexvol::reconcile {

namespace actions {

namespace {

std::string with_detail(const char* word, const std::string& detail) {
  return detail.empty() ? word : word + (": " + detail);
}

std::string to_text(const CreateData& /*action*/) {
  return "CreateData";
}
std::string to_text(const CreateMetadataDevice& /*action*/) {
  return "CreateMetadataDevice";
}
std::string to_text(const ActivateData& /*action*/) {
  return "ActivateData";
}
std::string to_text(const ActivateMetadata& /*action*/) {
  return "ActivateMetadata";
}
std::string to_text(const GrowData& /*action*/) {
  return "GrowData";
}
std::string to_text(const GrowMirror& /*action*/) {
  return "GrowMirror";
}
std::string to_text(const WipeData& /*action*/) {
  return "WipeData";
}
std::string to_text(const CreateMetadata& /*action*/) {
  return "CreateMetadata";
}
std::string to_text(const Finish& /*action*/) {
  return "Finish";
}
std::string to_text(const RecordMade& /*action*/) {
  return "RecordMade";
}
std::string to_text(const WriteConfig& /*action*/) {
  return "WriteConfig";
}
std::string to_text(const Adjust& /*action*/) {
  return "Adjust";
}
std::string to_text(const AskArbiter& action) {
  return with_detail("AskArbiter", action.peer);
}
std::string to_text(const UseForced& /*action*/) {
  return "UseForced";
}
std::string to_text(const LeaveSet& action) {
  return with_detail("LeaveSet", action.peer);
}
std::string to_text(const TakeOut& action) {
  return with_detail("TakeOut", action.peer);
}
std::string to_text(const PutBack& action) {
  return with_detail("PutBack", action.peer);
}
std::string to_text(const ReplacePeer& action) {
  return with_detail("ReplacePeer", action.peer);
}
std::string to_text(const GainMirror& /*action*/) {
  return "GainMirror";
}
std::string to_text(const DropMirror& /*action*/) {
  return "DropMirror";
}
std::string to_text(const RemoveMirror& /*action*/) {
  return "RemoveMirror";
}
std::string to_text(const Disconnect& /*action*/) {
  return "Disconnect";
}
std::string to_text(const ResumeIo& /*action*/) {
  return "ResumeIo";
}
std::string to_text(const KillUsers& /*action*/) {
  return "KillUsers";
}
std::string to_text(const GiveUpDisk& /*action*/) {
  return "GiveUpDisk";
}
std::string to_text(const ReconnectDiscarding& /*action*/) {
  return "ReconnectDiscarding";
}
std::string to_text(const Promote& /*action*/) {
  return "Promote";
}
std::string to_text(const PromoteByForce& /*action*/) {
  return "PromoteByForce";
}
std::string to_text(const Demote& /*action*/) {
  return "Demote";
}
std::string to_text(const Link& action) {
  return with_detail("Link", action.device);
}
std::string to_text(const Unlink& /*action*/) {
  return "Unlink";
}
std::string to_text(const Unmount& action) {
  return with_detail("Unmount", action.mount_point);
}
std::string to_text(const RecordFormatStarted& /*action*/) {
  return "RecordFormatStarted";
}
std::string to_text(const MakeFilesystem& /*action*/) {
  return "MakeFilesystem";
}
std::string to_text(const RecordFormatDone& /*action*/) {
  return "RecordFormatDone";
}
std::string to_text(const CheckFilesystem& /*action*/) {
  return "CheckFilesystem";
}
std::string to_text(const GrowFilesystem& /*action*/) {
  return "GrowFilesystem";
}
std::string to_text(const CompleteMountCalls& /*action*/) {
  return "CompleteMountCalls";
}
std::string to_text(const RefuseRelease& action) {
  return with_detail("RefuseRelease", action.reason);
}
std::string to_text(const DropAttachment& /*action*/) {
  return "DropAttachment";
}
std::string to_text(const Down& /*action*/) {
  return "Down";
}
std::string to_text(const RemoveConfig& /*action*/) {
  return "RemoveConfig";
}
std::string to_text(const RemoveBacking& /*action*/) {
  return "RemoveBacking";
}
std::string to_text(const ForgetReplica& /*action*/) {
  return "ForgetReplica";
}
std::string to_text(const LookAgain& /*action*/) {
  return "LookAgain";
}
std::string to_text(const Fail& action) {
  const std::string word = "Fail " + std::string(plexvol::to_text(action.code));
  return with_detail(word.c_str(), action.reason);
}

}  // namespace

}  // namespace actions

std::string to_text(const Action& action) {
  return std::visit([](const auto& one) { return actions::to_text(one); }, action);
}

}  // namespace plexvol::reconcile
