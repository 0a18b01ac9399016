#include "flexdriver/fence_helper.h"

#include <algorithm>
#include <array>
#include <exception>

#include "agent/api/protocol.h"
#include "agent/client/agent_client.h"

namespace plexvol::driver {

namespace {

constexpr std::string_view kFencePeer = "fence-peer";
constexpr std::string_view kPrefix = "DRBD_";
constexpr int kUnknown = 1;

// Long enough for an agent that is being restarted or upgraded: meanwhile the volume is frozen,
// which loses nothing.
constexpr std::chrono::milliseconds kFenceTimeout(60'000);
// DRBD waits for the answer to some of the other events, too.
constexpr std::chrono::milliseconds kReportTimeout(2'000);

constexpr std::array<std::string_view, 15> kEvents{
    kFencePeer,
    "unfence-peer",
    "before-resync-target",
    "after-resync-target",
    "before-resync-source",
    "after-resync-source",
    "local-io-error",
    "pri-lost",
    "pri-lost-after-sb",
    "pri-on-incon-degr",
    "split-brain",
    "initial-split-brain",
    "out-of-sync",
    "quorum-lost",
    "disconnected",
};

}  // namespace

bool is_drbd_event(std::string_view event) {
  return std::find(kEvents.begin(), kEvents.end(), event) != kEvents.end();
}

std::map<std::string, std::string> drbd_environment(const char* const* environment) {
  std::map<std::string, std::string> found;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const std::size_t equals = entry.find('=');
    if (!entry.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    found.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return found;
}

int report_drbd_event(const DrbdEvent& event, const Settings& settings, const Trace& trace) {
  const bool is_question = event.event == kFencePeer;
  const client::Patience patience{
      .deadline = base::Clock::now() +
                  std::min(settings.timeout, is_question ? kFenceTimeout : kReportTimeout),
      .retry = is_question ? client::Retry::UntilDeadline : client::Retry::Never};
  api::HelperRequest request{
      .event = event.event, .object = event.object, .environment = event.environment};
  // drbdadm's handlers name the resource only in the environment.
  if (const auto resource = event.environment.find("DRBD_RESOURCE");
      request.object.empty() && resource != event.environment.end()) {
    request.object = resource->second;
  }
  try {
    client::AgentClient agent(settings.sockets, trace.listener());
    const std::string result = agent.call(api::kHelperPath, api::to_json(request), patience);
    const int answer = api::from_json<api::HelperReply>(result).exit_code;
    if (!is_question) return 0;
    return answer >= 0 && answer <= 255 ? answer : kUnknown;
  } catch (const std::exception& error) {
    trace.note(error.what());
    return is_question ? kUnknown : 0;
  }
}

}  // namespace plexvol::driver
