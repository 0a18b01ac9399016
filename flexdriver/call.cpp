#include "flexdriver/call.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "agent/client/agent_client.h"
#include "agent/mounts/target.h"
#include "agent/mounts/target_mount.h"
#include "agent/mounts/unmount.h"
#include "flexdriver/options_text.h"

namespace plexvol::driver {

namespace {

// The agent sees by itself that a mount is gone: it is told only so that it need not look.
constexpr std::chrono::milliseconds kTellTimeout(2'000);
// The controller asks for all volumes of all nodes, one after the other, and "attached" is always a
// safe answer.
constexpr std::chrono::milliseconds kIsAttachedTimeout(5'000);

struct Context {
  const Settings& settings;
  const Trace& trace;
  base::Deadline deadline;

  client::AgentClient agent() const {
    return client::AgentClient(settings.sockets, trace.listener());
  }
  client::Patience patience() const {
    return {.deadline = deadline,
            .retry = client::Retry::UntilDeadline,
            .agent_timeout = settings.agent_timeout};
  }
};

using Arguments = std::vector<std::string>;

// Kubernetes reads the capabilities only; the message is for people and the doctor.
Reply init(const Context& context, const Arguments& /*arguments*/) {
  Reply reply;
  reply.message = context.settings.problem;
  reply.capabilities = context.settings.capabilities;
  return reply;
}

Reply not_supported(const Context& /*context*/, const Arguments& /*arguments*/) {
  return {.status = Status::NotSupported, .message = "not supported"};
}

Reply attach(const Context& context, const Arguments& arguments) {
  const api::AttachRequest request{.options = read_options(arguments[0]), .node = arguments[1]};
  const std::string result =
      context.agent().call(api::kAttachPath, api::to_json(request), context.patience());
  const auto reply = api::from_json<api::DeviceReply>(result);
  return {.message = reply.message, .device = reply.device};
}

Reply wait_for_attach(const Context& context, const Arguments& arguments) {
  const api::WaitForAttachRequest request{.device = arguments[0],
                                          .options = read_options(arguments[1])};
  const std::string result =
      context.agent().call(api::kWaitForAttachPath, api::to_json(request), context.patience());
  return {.device = api::from_json<api::DeviceReply>(result).device};
}

// A failure would void the answers for all other volumes of the node, and a wrong "no" makes the
// controller attach a volume that is in use (contract fact 34). So only the agent's own "no" is
// one.
Reply is_attached(const Context& context, const Arguments& arguments) {
  const api::AttachRequest request{.options = read_options(arguments[0]), .node = arguments[1]};
  const client::Patience patience{.deadline = base::sooner(context.deadline, kIsAttachedTimeout),
                                  .retry = client::Retry::Never};
  const std::string result =
      context.agent().call(api::kIsAttachedPath, api::to_json(request), patience);
  return {.attached = api::from_json<api::IsAttachedReply>(result).attached};
}

Reply detach(const Context& context, const Arguments& arguments) {
  const api::DetachRequest request{.name = arguments[0], .node = arguments[1]};
  context.agent().call(api::kDetachPath, api::to_json(request), context.patience());
  return {};
}

mounts::MountOrder to_order(const api::MountReply& reply, const std::string& target,
                            bool placeholder) {
  mounts::MountOrder order{.volume = reply.volume,
                           .device = reply.device,
                           .major = reply.major,
                           .minor = reply.minor,
                           .target = target,
                           .fs_type = reply.fs_type,
                           .flags = mounts::parse_mount_flags(reply.flags),
                           .data = reply.data,
                           .placeholder = placeholder};
  if (reply.read_only) order.flags.read_only = true;
  return order;
}

// The reply is given only after the agent knows of the mount, and the mount stays only when the
// agent agrees: it may have lost the attachment meanwhile. Everything is repeated by the caller
// after a failure.
void mount_and_tell(client::AgentClient& agent, const Context& context,
                    const api::MountReply& reply, const mounts::MountOrder& order) {
  mounts::TargetMount mount(order, context.deadline, context.trace.steps());
  const api::MountedRequest request{
      .call_id = reply.call_id, .target = order.target, .mounted = true, .message = ""};
  try {
    agent.call(api::kMountedPath, api::to_json(request), context.patience());
  } catch (const Error& error) {
    const std::string left_over = mount.undo(base::Clock::now() + kTellTimeout);
    throw Error(error.code(), std::string("mounted, but the agent does not agree: ") +
                                  error.what() + (left_over.empty() ? "" : "; " + left_over));
  }
  mount.keep(context.deadline);
}

void tell_failure(client::AgentClient& agent, const api::MountReply& reply,
                  const std::string& target, const Error& failure) {
  const api::MountedRequest request{.call_id = reply.call_id,
                                    .target = target,
                                    .mounted = false,
                                    .message = one_line(failure.what())};
  try {
    agent.call(api::kMountedPath, api::to_json(request),
               {.deadline = base::Clock::now() + kTellTimeout, .retry = client::Retry::Never});
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): it notices the end of the connection
  }
}

// Answers what of the options the volume does not have.
std::string ask_and_mount(const Context& context, const api::MountRequest& request,
                          bool placeholder) {
  mounts::check_target(request.target);
  client::AgentClient agent = context.agent();
  const auto reply = api::from_json<api::MountReply>(
      agent.call(api::kMountPath, api::to_json(request), context.patience()));
  try {
    mount_and_tell(agent, context, reply, to_order(reply, request.target, placeholder));
  } catch (const Error& error) {
    tell_failure(agent, reply, request.target, error);
    throw;
  }
  return reply.message;
}

Reply mount(const Context& context, const Arguments& arguments) {
  const api::MountRequest request{.options = read_options(arguments[1]),
                                  .target = mounts::resolve_target(arguments[0]),
                                  .device = "",
                                  .attached_before = context.settings.capabilities.attach};
  try {
    return {.message = ask_and_mount(context, request, false)};
  } catch (const Error&) {
    mounts::give_up_target(request.target, context.trace.steps());
    throw;
  }
}

// Only called where attach was called before: the settings may have changed since then. `mount`
// mounts the device itself, so what stands on the kubelet's directory of the device need not be it.
Reply mount_device(const Context& context, const Arguments& arguments) {
  return {.message = ask_and_mount(context,
                                   {.options = read_options(arguments[2]),
                                    .target = mounts::resolve_target(arguments[0]),
                                    .device = arguments[1],
                                    .attached_before = true},
                                   true)};
}

Reply unmount(const Context& context, const Arguments& arguments) {
  const std::string target = mounts::resolve_target(arguments[0]);
  mounts::unmount_target(target, context.deadline, context.trace.steps());
  try {
    context.agent().call(
        api::kUnmountedPath, api::to_json(api::UnmountedRequest{.target = target}),
        {.deadline = base::Clock::now() + kTellTimeout, .retry = client::Retry::Never});
  } catch (const Error& error) {
    context.trace.note(error.what());
  }
  return {};
}

std::uint64_t to_bytes(const std::string& text) {
  std::uint64_t bytes = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, bytes);
  if (error == std::errc{} && at == end) return bytes;
  throw Error(ErrorCode::InvalidArgument, "not a number of bytes: " + in_quotes(text));
}

// Nobody has made the volume larger before: the caller takes that for done.
Reply expand_fs(const Context& context, const Arguments& arguments) {
  const api::ExpandRequest request{.options = read_options(arguments[0]),
                                   .target = mounts::resolve_target(arguments[2]),
                                   .size = to_bytes(arguments[3])};
  const std::string result =
      context.agent().call(api::kExpandPath, api::to_json(request), context.patience());
  return {.message = api::from_json<api::ExpandReply>(result).message};
}

constexpr std::size_t kAnyNumber = 99;

struct Call {
  std::string_view name;
  std::size_t arguments;
  const char* usage;
  Reply (*answer)(const Context&, const Arguments&);
};

constexpr std::array kCalls{
    Call{"init", kAnyNumber, "", init},
    Call{"getvolumename", kAnyNumber, "", not_supported},
    Call{"attach", 2, "OPTIONS NODE", attach},
    Call{"waitforattach", 2, "DEVICE OPTIONS", wait_for_attach},
    Call{"isattached", 2, "OPTIONS NODE", is_attached},
    Call{"detach", 2, "NAME NODE", detach},
    Call{"mountdevice", 3, "TARGET DEVICE OPTIONS", mount_device},
    Call{"mount", 2, "TARGET OPTIONS", mount},
    Call{"unmount", 1, "TARGET", unmount},
    Call{"unmountdevice", 1, "TARGET", unmount},
    Call{"expandvolume", kAnyNumber, "", not_supported},
    Call{"expandfs", 5, "OPTIONS DEVICE DIRECTORY NEW-BYTES OLD-BYTES", expand_fs},
};

const Call* find_call(std::string_view name) {
  const auto* found = std::find_if(kCalls.begin(), kCalls.end(),
                                   [name](const Call& call) { return call.name == name; });
  return found == kCalls.end() ? nullptr : found;
}

Reply answer_or_throw(const Call& call, const Context& context, const Arguments& arguments) {
  if (call.arguments != kAnyNumber && call.arguments != arguments.size()) {
    throw Error(ErrorCode::InvalidArgument, std::string(call.name) + " takes " +
                                                std::to_string(call.arguments) + " arguments, " +
                                                call.usage + ", and was given " +
                                                std::to_string(arguments.size()));
  }
  return call.answer(context, arguments);
}

}  // namespace

bool is_call(std::string_view name) {
  return find_call(name) != nullptr;
}

Reply answer(const std::string& name, const std::vector<std::string>& arguments,
             const Settings& settings, const Trace& trace) {
  const Call* call = find_call(name);
  if (call == nullptr) {
    return {.status = Status::NotSupported,
            .message = "there is no call " + in_quotes(name) + "; see plexvol --help"};
  }
  const Context context{
      .settings = settings, .trace = trace, .deadline = base::Clock::now() + settings.timeout};
  try {
    return answer_or_throw(*call, context, arguments);
  } catch (const std::exception& error) {
    trace.note(error.what());
    if (call->name == "isattached") return {.attached = true};
    return {.status = Status::Failure, .message = error.what()};
  }
}

}  // namespace plexvol::driver
