// The agent on this node, asked over its Unix socket.
#pragma once

#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/base/deadline.h"
#include "agent/base/descriptor.h"
#include "flexdriver/http_reply.h"
#include "flexdriver/trace.h"

namespace plexvol::driver {

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

class AgentClient {
 public:
  // Each socket is tried in turn at every attempt.
  AgentClient(std::vector<std::string> sockets, const Trace& trace)
      : sockets_(std::move(sockets)), trace_(trace) {}

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
  const Trace& trace_;
  base::Descriptor connection_;
  std::string connected_to_;
  bool is_absent_ = false;  // nothing listened at the last attempt
};

// 0, or the errno of what went wrong: ECONNREFUSED says that nobody listens on this socket any
// more.
int try_connect(const std::string& path, base::Descriptor& connection);

}  // namespace plexvol::driver
