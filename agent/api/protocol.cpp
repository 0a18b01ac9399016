#include "agent/api/protocol.h"

#include "agent/api/codec.h"

namespace plexvol::api {

using codec::Json;
using codec::may;
using codec::must;

// What a reply cannot do without is must(); what a request may leave to its default, and what is
// only shown to people, is may(), so that the version before or after ours is still understood.
constexpr auto fields_of(const AttachRequest*) {
  using S = AttachRequest;
  return std::tuple{must("options", &S::options), must("node", &S::node)};
}
constexpr auto fields_of(const WaitForAttachRequest*) {
  using S = WaitForAttachRequest;
  return std::tuple{may("device", &S::device), must("options", &S::options)};
}
constexpr auto fields_of(const DeviceReply*) {
  return std::tuple{must("device", &DeviceReply::device), may("message", &DeviceReply::message)};
}
constexpr auto fields_of(const IsAttachedReply*) {
  return std::tuple{must("attached", &IsAttachedReply::attached)};
}
constexpr auto fields_of(const DetachRequest*) {
  return std::tuple{must("name", &DetachRequest::name), must("node", &DetachRequest::node)};
}
constexpr auto fields_of(const MountRequest*) {
  using S = MountRequest;
  return std::tuple{must("options", &S::options), must("target", &S::target),
                    may("device", &S::device), may("attached_before", &S::attached_before)};
}
constexpr auto fields_of(const MountReply*) {
  using S = MountReply;
  return std::tuple{must("volume", &S::volume),   must("device", &S::device),
                    must("major", &S::major),     must("minor", &S::minor),
                    must("fs_type", &S::fs_type), may("flags", &S::flags),
                    may("data", &S::data),        must("read_only", &S::read_only),
                    must("call_id", &S::call_id), may("message", &S::message)};
}
constexpr auto fields_of(const MountedRequest*) {
  using S = MountedRequest;
  return std::tuple{must("call_id", &S::call_id), must("target", &S::target),
                    must("mounted", &S::mounted), may("message", &S::message)};
}
constexpr auto fields_of(const UnmountedRequest*) {
  return std::tuple{must("target", &UnmountedRequest::target)};
}
constexpr auto fields_of(const HelperRequest*) {
  using S = HelperRequest;
  return std::tuple{must("event", &S::event), must("object", &S::object),
                    may("environment", &S::environment)};
}
constexpr auto fields_of(const HelperReply*) {
  return std::tuple{must("exit_code", &HelperReply::exit_code)};
}
constexpr auto fields_of(const CreateVolumeRequest*) {
  using S = CreateVolumeRequest;
  return std::tuple{must("name", &S::name),
                    must("size", &S::size),
                    may("replicas", &S::replicas),
                    may("nodes", &S::nodes),
                    may("pool", &S::pool),
                    may("fs_type", &S::fs_type),
                    may("mkfs_options", &S::mkfs_options),
                    may("namespace", &S::tenant),
                    may("first_node", &S::first_node)};
}
constexpr auto fields_of(const SetVolumeRequest*) {
  using S = SetVolumeRequest;
  return std::tuple{must("name", &S::name), may("namespace", &S::tenant), may("copies", &S::copies),
                    may("keep", &S::keep)};
}
constexpr auto fields_of(const MoveVolumeRequest*) {
  using S = MoveVolumeRequest;
  return std::tuple{must("name", &S::name), may("from", &S::from), may("to", &S::to)};
}
constexpr auto fields_of(const ExpandRequest*) {
  using S = ExpandRequest;
  return std::tuple{must("options", &S::options), must("target", &S::target),
                    must("size", &S::size)};
}
constexpr auto fields_of(const ExpandReply*) {
  return std::tuple{may("message", &ExpandReply::message)};
}
constexpr auto fields_of(const ResizeVolumeRequest*) {
  using S = ResizeVolumeRequest;
  return std::tuple{must("name", &S::name), must("size", &S::size), may("at_least", &S::at_least)};
}
constexpr auto fields_of(const VolumeNameRequest*) {
  return std::tuple{must("name", &VolumeNameRequest::name)};
}
constexpr auto fields_of(const FailOverRequest*) {
  using S = FailOverRequest;
  return std::tuple{must("name", &S::name), must("node", &S::node)};
}
constexpr auto fields_of(const ForceCurrentRequest*) {
  using S = ForceCurrentRequest;
  return std::tuple{must("name", &S::name), must("node", &S::node),
                    may("accept_data_loss", &S::accept_data_loss), may("by", &S::by)};
}
constexpr auto fields_of(const DeleteVolumeReply*) {
  return std::tuple{may("waiting_for", &DeleteVolumeReply::waiting_for)};
}
constexpr auto fields_of(const ReplicaInfo*) {
  using S = ReplicaInfo;
  return std::tuple{must("node", &S::node),
                    may("alive", &S::alive),
                    may("pool", &S::pool),
                    may("device", &S::device),
                    may("role", &S::role),
                    may("disk_state", &S::disk_state),
                    may("connection", &S::connection),
                    may("synced_percent", &S::synced_percent),
                    may("out_of_sync_bytes", &S::out_of_sync_bytes),
                    may("current", &S::current),
                    may("left_at", &S::left_at),
                    may("mounts", &S::mounts),
                    may("error", &S::error),
                    may("made", &S::made),
                    may("lacks_more", &S::lacks_more)};
}
constexpr auto fields_of(const VolumeInfo*) {
  using S = VolumeInfo;
  return std::tuple{must("name", &S::name),
                    may("size_bytes", &S::size_bytes),
                    may("pool", &S::pool),
                    may("fs_type", &S::fs_type),
                    may("state", &S::state),
                    may("attached_to", &S::attached_to),
                    may("deleting", &S::deleting),
                    may("drbd_minor", &S::drbd_minor),
                    may("epoch", &S::epoch),
                    may("forced", &S::forced),
                    may("replicas", &S::replicas),
                    may("former", &S::former),
                    may("copies", &S::copies),
                    may("copies_asked", &S::copies_asked),
                    may("namespace", &S::tenant),
                    may("formatted", &S::formatted),
                    may("filesystem_grows", &S::filesystem_grows),
                    may("pending", &S::pending)};
}
constexpr auto fields_of(const PoolInfo*) {
  using S = PoolInfo;
  return std::tuple{must("name", &S::name),
                    may("type", &S::type),
                    may("total_bytes", &S::total_bytes),
                    may("free_bytes", &S::free_bytes),
                    may("error", &S::error),
                    may("promised_bytes", &S::promised_bytes),
                    may("max_promised_percent", &S::max_promised_percent)};
}
constexpr auto fields_of(const NodeInfo*) {
  using S = NodeInfo;
  return std::tuple{must("name", &S::name),
                    may("alive", &S::alive),
                    may("address", &S::address),
                    may("version", &S::version),
                    may("drbd_version", &S::drbd_version),
                    may("cordon", &S::cordon),
                    may("pools", &S::pools)};
}
constexpr auto fields_of(const NodeChange*) {
  return std::tuple{must("name", &NodeChange::name), must("action", &NodeChange::action)};
}
constexpr auto fields_of(const NodeChangeReply::Left*) {
  using S = NodeChangeReply::Left;
  return std::tuple{must("volume", &S::volume), may("why", &S::why),
                    may("needs_person", &S::needs_person)};
}
constexpr auto fields_of(const NodeChangeReply*) {
  return std::tuple{must("left", &NodeChangeReply::left)};
}
constexpr auto fields_of(const ChangesRequest*) {
  return std::tuple{may("since", &ChangesRequest::since)};
}
constexpr auto fields_of(const ChangesReply*) {
  return std::tuple{must("token", &ChangesReply::token)};
}
constexpr auto fields_of(const VersionReply*) {
  using S = VersionReply;
  return std::tuple{must("version", &S::version), must("protocol", &S::protocol),
                    may("node", &S::node), may("store", &S::store)};
}
constexpr auto fields_of(const Finding*) {
  using S = Finding;
  return std::tuple{must("what", &S::what), must("level", &S::level), may("found", &S::found),
                    may("wanted", &S::wanted), may("advice", &S::advice)};
}

namespace {

// The wire's forms of what the structs hold in richer types.
struct ErrorText {
  std::string code;
  std::string message;
};
constexpr auto fields_of(const ErrorText*) {
  return std::tuple{must("code", &ErrorText::code), may("message", &ErrorText::message)};
}
struct StepText {
  std::string what;
  std::int64_t took_us = 0;
  int exit_code = 0;
};
constexpr auto fields_of(const StepText*) {
  using S = StepText;
  return std::tuple{must("what", &S::what), may("took_us", &S::took_us),
                    may("exit_code", &S::exit_code)};
}
struct VolumeList {
  std::vector<VolumeInfo> volumes;
};
constexpr auto fields_of(const VolumeList*) {
  return std::tuple{must("volumes", &VolumeList::volumes)};
}
struct NodeList {
  std::vector<NodeInfo> nodes;
};
constexpr auto fields_of(const NodeList*) {
  return std::tuple{must("nodes", &NodeList::nodes)};
}
struct FindingList {
  std::vector<Finding> findings;
};
constexpr auto fields_of(const FindingList*) {
  return std::tuple{must("findings", &FindingList::findings)};
}

template <class T>
std::string to_text_of(const T& value) {
  return codec::dump(codec::write(value));
}

}  // namespace

unsigned http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::InvalidArgument:
      return 400;
    case ErrorCode::NotFound:
      return 404;
    case ErrorCode::AlreadyExists:
    case ErrorCode::Conflict:
      return 409;
    case ErrorCode::OutOfSpace:
      return 507;
    case ErrorCode::Unavailable:
      return 503;
    case ErrorCode::Unsupported:
      return 501;
    case ErrorCode::Internal:
      break;
  }
  return 500;
}

std::string to_json(const AttachRequest& value) {
  return to_text_of(value);
}
std::string to_json(const WaitForAttachRequest& value) {
  return to_text_of(value);
}
std::string to_json(const DeviceReply& value) {
  return to_text_of(value);
}
std::string to_json(const IsAttachedReply& value) {
  return to_text_of(value);
}
std::string to_json(const DetachRequest& value) {
  return to_text_of(value);
}
std::string to_json(const MountRequest& value) {
  return to_text_of(value);
}
std::string to_json(const MountReply& value) {
  return to_text_of(value);
}
std::string to_json(const MountedRequest& value) {
  return to_text_of(value);
}
std::string to_json(const UnmountedRequest& value) {
  return to_text_of(value);
}
std::string to_json(const HelperRequest& value) {
  return to_text_of(value);
}
std::string to_json(const HelperReply& value) {
  return to_text_of(value);
}
std::string to_json(const CreateVolumeRequest& value) {
  return to_text_of(value);
}
std::string to_json(const ResizeVolumeRequest& value) {
  return to_text_of(value);
}
std::string to_json(const ExpandRequest& value) {
  return to_text_of(value);
}
std::string to_json(const ExpandReply& value) {
  return to_text_of(value);
}
std::string to_json(const SetVolumeRequest& value) {
  return to_text_of(value);
}
std::string to_json(const MoveVolumeRequest& value) {
  return to_text_of(value);
}
std::string to_json(const VolumeNameRequest& value) {
  return to_text_of(value);
}
std::string to_json(const FailOverRequest& value) {
  return to_text_of(value);
}
std::string to_json(const ForceCurrentRequest& value) {
  return to_text_of(value);
}
std::string to_json(const DeleteVolumeReply& value) {
  return to_text_of(value);
}
std::string to_json(const VolumeInfo& value) {
  return to_text_of(value);
}
std::string to_json(const NodeChange& value) {
  return to_text_of(value);
}
std::string to_json(const NodeChangeReply& value) {
  return to_text_of(value);
}
std::string to_json(const ChangesRequest& value) {
  return to_text_of(value);
}
std::string to_json(const ChangesReply& value) {
  return to_text_of(value);
}
std::string to_json(const VersionReply& value) {
  return to_text_of(value);
}
std::string to_json(const std::vector<VolumeInfo>& value) {
  return to_text_of(VolumeList{value});
}
std::string to_json(const std::vector<NodeInfo>& value) {
  return to_text_of(NodeList{value});
}
std::string to_json(const std::vector<Finding>& value) {
  return to_text_of(FindingList{value});
}

template <class T>
T from_json(const std::string& text) {
  T value;
  codec::read(codec::parse_object(text), "", value);
  return value;
}

template <>
std::vector<VolumeInfo> from_json<std::vector<VolumeInfo>>(const std::string& text) {
  return from_json<VolumeList>(text).volumes;
}
template <>
std::vector<NodeInfo> from_json<std::vector<NodeInfo>>(const std::string& text) {
  return from_json<NodeList>(text).nodes;
}
template <>
std::vector<Finding> from_json<std::vector<Finding>>(const std::string& text) {
  return from_json<FindingList>(text).findings;
}

template Options from_json(const std::string&);
template AttachRequest from_json(const std::string&);
template WaitForAttachRequest from_json(const std::string&);
template DeviceReply from_json(const std::string&);
template IsAttachedReply from_json(const std::string&);
template DetachRequest from_json(const std::string&);
template MountRequest from_json(const std::string&);
template MountReply from_json(const std::string&);
template MountedRequest from_json(const std::string&);
template UnmountedRequest from_json(const std::string&);
template HelperRequest from_json(const std::string&);
template HelperReply from_json(const std::string&);
template CreateVolumeRequest from_json(const std::string&);
template ResizeVolumeRequest from_json(const std::string&);
template ExpandRequest from_json(const std::string&);
template ExpandReply from_json(const std::string&);
template SetVolumeRequest from_json(const std::string&);
template MoveVolumeRequest from_json(const std::string&);
template VolumeNameRequest from_json(const std::string&);
template FailOverRequest from_json(const std::string&);
template ForceCurrentRequest from_json(const std::string&);
template DeleteVolumeReply from_json(const std::string&);
template VolumeInfo from_json(const std::string&);
template NodeChange from_json(const std::string&);
template NodeChangeReply from_json(const std::string&);
template ChangesRequest from_json(const std::string&);
template ChangesReply from_json(const std::string&);
template VersionReply from_json(const std::string&);

std::string to_json(const Reply& reply) {
  Json json{{"protocol", reply.protocol}};
  if (!reply.ok) {
    json["error"] = codec::write(
        ErrorText{.code = std::string(to_text(reply.error.code)), .message = reply.error.message});
  }
  if (!reply.trace.empty()) {
    Json& steps = json["trace"] = Json::array();
    for (const TraceStep& step : reply.trace) {
      steps.push_back(codec::write(
          StepText{.what = step.what, .took_us = step.took.count(), .exit_code = step.exit_code}));
    }
  }
  std::string text = codec::dump(json);
  // The result is JSON text already: it is put in as it is.
  if (reply.ok) {
    text.pop_back();
    text += ",\"result\":" + (reply.result.empty() ? "{}" : reply.result) + '}';
  }
  return text;
}

template <>
Reply from_json<Reply>(const std::string& text) {
  const Json json = codec::parse_object(text);
  Reply reply;
  const auto member = [&json](const char* name) {
    const auto found = json.find(name);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  };
  if (const Json* protocol = member("protocol")) {
    codec::read(*protocol, "protocol", reply.protocol);
  } else {
    codec::refuse_missing("protocol");
  }
  if (const Json* error = member("error")) {
    ErrorText read;
    codec::read(*error, "error", read);
    reply.error = {.code = error_code_from_text(read.code), .message = read.message};
  } else if (const Json* result = member("result")) {
    if (!result->is_object()) codec::refuse_field("result", "an object", *result);
    reply.ok = true;
    reply.result = codec::dump(*result);
  } else {
    codec::refuse_missing("result");
  }
  if (const Json* trace = member("trace")) {
    std::vector<StepText> steps;
    codec::read(*trace, "trace", steps);
    for (StepText& step : steps) {
      reply.trace.push_back({.what = std::move(step.what),
                             .took = std::chrono::microseconds(step.took_us),
                             .exit_code = step.exit_code});
    }
  }
  return reply;
}

}  // namespace plexvol::api
