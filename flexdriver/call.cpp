#include "flexdriver/call.h"

#include <algorithm>
#include <array>
#include <exception>

#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "flexdriver/agent_client.h"
#include "flexdriver/mounts/target_mount.h"
#include "flexdriver/mounts/unmount.h"
#include "flexdriver/options_text.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

struct Call {
  const std::vector<std::string>& arguments;  // after the call's name
  const Settings& settings;
  const Trace& trace;
  Deadline deadline;

  const std::string& operator[](std::size_t i) const { return arguments[i]; }
};

template <class Answer, class Request>
Answer ask(AgentClient& agent, const char* path, const Request& request, Deadline deadline) {
  return api::from_json<Answer>(
      agent.call(path, api::to_json(request), {.deadline = deadline}));
}

Reply not_supported(const Call& /*call*/) { return {.status = Status::NotSupported}; }

Reply init(const Call& call) { return {.capabilities = call.settings.capabilities}; }

Reply attach(const Call& call) {
  const api::AttachRequest request{.options = read_options(call[0]), .node = call[1]};
  AgentClient agent(call.settings.sockets, call.trace);
  return {.device = ask<api::DeviceReply>(agent, api::kAttachPath, request, call.deadline).device};
}

Reply wait_for_attach(const Call& call) {
  const api::WaitForAttachRequest request{.device = call[0], .options = read_options(call[1])};
  AgentClient agent(call.settings.sockets, call.trace);
  return {.device =
              ask<api::DeviceReply>(agent, api::kWaitForAttachPath, request, call.deadline).device};
}

// One failing answer voids those of all other volumes of the node, and false makes the controller attach again while the pod
// runs (fact 34): so when nobody knows, it is attached.
Reply is_attached(const Call& call) {
  try {
    const api::AttachRequest request{.options = read_options(call[0]), .node = call[1]};
    AgentClient agent(call.settings.sockets, call.trace);
    return {.attached =
                ask<api::IsAttachedReply>(agent, api::kIsAttachedPath, request, call.deadline)
                    .attached};
  } catch (const std::exception& error) {
    call.trace.note(std::string("answered with attached, since nobody knows: ") + error.what());
    return {.attached = true};
  }
}

Reply detach(const Call& call) {
  const api::DetachRequest request{.name = call[0], .node = call[1]};
  AgentClient agent(call.settings.sockets, call.trace);
  agent.call(api::kDetachPath, api::to_json(request), {.deadline = call.deadline});
  return {};
}

MountOrder order_of(const api::MountReply& prepared, const std::string& target) {
  std::vector<std::string> words = prepared.flags;
  if (prepared.read_only) words.emplace_back("ro");
  return {.device = prepared.device,
          .major = prepared.major,
          .minor = prepared.minor,
          .target = resolve_target(target),
          .fs_type = prepared.fs_type,
          .flags = parse_mount_flags(words),
          .data = prepared.data};
}

// The agent learns of a failure by the connection's end as well; told, it can say so in its log.
void tell_failure(AgentClient& agent, const api::MountReply& prepared, const std::string& target,
                  const std::string& why, Deadline deadline) {
  try {
    const api::MountedRequest failed{
        .call_id = prepared.call_id, .target = target, .mounted = false, .message = why};
    agent.call(api::kMountedPath, api::to_json(failed),
               {.deadline = sooner(deadline, milliseconds(1000)), .retry = Retry::Never});
  } catch (const std::exception& error) {
    (void)error;
  }
}

// Nothing stays mounted unless the agent has heard of it and agreed (fact 27): until then the volume could be given up.
Reply mount_on(const Call& call, const api::MountRequest& request) {
  check_target(request.target);
  AgentClient agent(call.settings.sockets, call.trace);
  const auto prepared = ask<api::MountReply>(agent, api::kMountPath, request, call.deadline);
  try {
    TargetMount mount(order_of(prepared, request.target), call.deadline, call.trace);
    const api::MountedRequest done{
        .call_id = prepared.call_id, .target = request.target, .mounted = true, .message = {}};
    try {
      agent.call(api::kMountedPath, api::to_json(done),
                 {.deadline = call.deadline, .retry = Retry::Never});
    } catch (const Error& error) {
      const std::string left = mount.undo(call.deadline);
      if (left.empty()) throw;
      throw Error(error.code(), std::string(error.what()) + "; " + left);
    }
    mount.keep(call.deadline);
  } catch (const Error& error) {
    tell_failure(agent, prepared, request.target, error.what(), call.deadline);
    throw;
  }
  return {};
}

Reply mount_device(const Call& call) {
  return mount_on(call, {.options = read_options(call[2]),
                         .target = call[0],
                         .device = call[1],
                         .attached_before = true});
}

Reply mount(const Call& call) {
  return mount_on(call, {.options = read_options(call[1]),
                         .target = call[0],
                         .device = {},
                         .attached_before = call.settings.capabilities.attach});
}

// The agent need not be there: it sees the mount gone when it comes back.
Reply unmount(const Call& call) {
  unmount_target(call[0], call.deadline, call.trace);
  try {
    AgentClient agent(call.settings.sockets, call.trace);
    agent.call(api::kUnmountedPath, api::to_json(api::UnmountedRequest{.target = call[0]}),
               {.deadline = sooner(call.deadline, milliseconds(2000)), .retry = Retry::Never});
  } catch (const std::exception& error) {
    call.trace.note(std::string("the agent was not told: ") + error.what());
  }
  return {};
}

struct Entry {
  const char* name;
  std::size_t arguments;
  const char* usage;
  Reply (*run)(const Call&);
};

// getvolumename: its answer is ignored everywhere, its failure blocks silently, and "Not supported" is remembered (fact 32).
constexpr std::array kCalls{
    Entry{"init", 0, "", init},
    Entry{"getvolumename", 0, nullptr, not_supported},
    Entry{"attach", 2, "OPTIONS NODE", attach},
    Entry{"waitforattach", 2, "DEVICE OPTIONS", wait_for_attach},
    Entry{"isattached", 2, "OPTIONS NODE", is_attached},
    Entry{"detach", 2, "NAME NODE", detach},
    Entry{"mountdevice", 3, "DIRECTORY DEVICE OPTIONS", mount_device},
    Entry{"unmountdevice", 1, "DIRECTORY", unmount},
    Entry{"mount", 2, "DIRECTORY OPTIONS", mount},
    Entry{"unmount", 1, "DIRECTORY", unmount},
    Entry{"expandvolume", 0, nullptr, not_supported},
    Entry{"expandfs", 0, nullptr, not_supported},
};

const Entry* find_call(const std::string& name) {
  const auto* const found = std::find_if(kCalls.begin(), kCalls.end(),
                                         [&](const Entry& entry) { return name == entry.name; });
  return found == kCalls.end() ? nullptr : found;
}

}  // namespace

bool is_flexvolume_call(const std::string& name) { return find_call(name) != nullptr; }

Reply make_call(const std::vector<std::string>& arguments, const Settings& settings,
                const Trace& trace) {
  try {
    const Entry* entry = arguments.empty() ? nullptr : find_call(arguments.front());
    if (entry == nullptr) return {.status = Status::NotSupported};
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (entry->usage != nullptr && rest.size() != entry->arguments) {
      throw Error(ErrorCode::InvalidArgument,
                  std::string(entry->name) + " takes " + std::to_string(entry->arguments) +
                      " arguments (" + entry->usage + "), not " + std::to_string(rest.size()));
    }
    return entry->run({.arguments = rest,
                       .settings = settings,
                       .trace = trace,
                       .deadline = Clock::now() + settings.timeout});
  } catch (const std::exception& error) {
    return {.status = Status::Failure, .message = one_line(error.what())};
  }
}

}  // namespace plexvol::driver
