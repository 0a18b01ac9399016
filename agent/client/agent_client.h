// The agent on this node, asked over its Unix socket.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "agent/base/deadline.h"
#include "agent/base/descriptor.h"
#include "agent/client/http_reply.h"
#include "agent/mounts/steps.h"

namespace plexvol::client {

// Whether to ask again when the agent is not there (it is being started or upgraded), goes away in
// the middle, or answers Unavailable. Only for calls that may be repeated.
enum class Retry { UntilDeadline, Never };

// How long an agent may be away. An upgrade takes a few seconds; callers come again by themselves,
// and until a call has failed a user sees no event.
constexpr std::chrono::milliseconds kAgentTimeout(20'000);

struct Patience {
  base::Deadline deadline;
  Retry retry = Retry::UntilDeadline;
  std::chrono::milliseconds agent_timeout =
      kAgentTimeout;  // given up earlier when nothing listens for as long
};

// Who hears of what a call does, while it does it.
struct Listener {
  mounts::Steps steps = {};
  // What the agent ran for the call. It is asked to tell only where somebody listens.
  std::function<void(const std::vector<api::TraceStep>&)> agent_steps = {};
};

class AgentClient {
 public:
  // Each socket is tried in turn at every attempt.
  explicit AgentClient(std::vector<std::string> sockets, Listener listener = {})
      : sockets_(std::move(sockets)), listener_(std::move(listener)) {}

  // POSTs `body` (JSON) to `path` and answers the result (JSON). Throws the agent's own error;
  // Unavailable, saying what was waited for, at the deadline; Internal for an answer that cannot be
  // understood. The connection stays open for the next call: while it is, the agent knows that a
  // mount is under way.
  std::string call(const std::string& path, const std::string& body, Patience patience);

 private:
  HttpReply exchange(const std::string& path, const std::string& body, base::Deadline deadline);
  void connect(base::Deadline deadline);
  void send(const std::string& text, base::Deadline deadline);
  HttpReply receive(const std::string& path, base::Deadline deadline);

  std::vector<std::string> sockets_;
  Listener listener_;
  base::Descriptor connection_;
  std::string connected_to_;
  bool is_absent_ = false;  // nothing listened at the last attempt
};

// 0, or the errno of what went wrong: ECONNREFUSED says that nobody listens on this socket any
// more.
int try_connect(const std::string& path, base::Descriptor& connection);

}  // namespace plexvol::client
