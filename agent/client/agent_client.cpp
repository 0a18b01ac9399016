#include "agent/client/agent_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/client/http_reply.h"

namespace plexvol::client {

namespace {

constexpr std::chrono::milliseconds kFirstPause(50);
constexpr std::chrono::milliseconds kLongestPause(1'000);

Error unavailable(const std::string& message) {
  return {ErrorCode::Unavailable, message};
}

void wait_ready(int fd, short events, base::Deadline deadline, const std::string& what) {
  while (true) {
    pollfd waiting{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&waiting, 1, base::poll_timeout(deadline));
    if (ready > 0) return;
    if (ready == 0) throw unavailable(what);
    if (errno != EINTR) throw Error(ErrorCode::Internal, "poll: " + base::error_text(errno));
  }
}

std::string request_text(const std::string& path, const std::string& body, base::Deadline deadline,
                         bool trace) {
  std::string text = "POST " + path + " HTTP/1.1\r\nHost: plexvold\r\n";
  text += "Content-Type: application/json\r\n";
  text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  text += std::string(api::kProtocolHeader) + ": " + std::to_string(api::kProtocolVersion) + "\r\n";
  text += std::string(api::kTimeoutHeader) + ": " +
          std::to_string(base::left_until(deadline).count()) + "\r\n";
  if (trace) text += std::string(api::kTraceHeader) + ": 1\r\n";
  return text + "\r\n" + body;
}

std::string result_of(const HttpReply& http, const Listener& listener) {
  api::Reply reply;
  try {
    reply = api::from_json<api::Reply>(http.body);
  } catch (const Error& error) {
    const auto code = http.status == api::http_status(ErrorCode::Unavailable)
                          ? ErrorCode::Unavailable
                          : ErrorCode::Internal;
    throw Error(code, "the agent answered HTTP " + std::to_string(http.status) +
                          " with something unknown: " + error.what());
  }
  if (listener.agent_steps) listener.agent_steps(reply.trace);
  if (!reply.ok) throw Error(reply.error.code, reply.error.message);
  if (reply.protocol < api::kOldestProtocolVersion || reply.protocol > api::kProtocolVersion) {
    throw Error(ErrorCode::Unsupported,
                "the agent speaks protocol " + std::to_string(reply.protocol) +
                    ", this plexvol knows " + std::to_string(api::kOldestProtocolVersion) + " to " +
                    std::to_string(api::kProtocolVersion) + ": install matching versions");
  }
  return reply.result;
}

std::string as_seconds(base::Clock::duration took) {
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(took).count() / 100;
  return std::to_string(tenths / 10) + (tenths < 100 ? "." + std::to_string(tenths % 10) : "") +
         " s";
}

}  // namespace

int try_connect(const std::string& path, base::Descriptor& connection) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  path.copy(std::begin(address.sun_path), path.size());
  base::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return errno;
  // A Unix socket connects at once or not at all: EAGAIN says that the agent's queue is full.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast)
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return errno;
  }
  connection = std::move(fd);
  return 0;
}

std::string AgentClient::call(const std::string& path, const std::string& body, Patience patience) {
  // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): as the next one, it is read below
  base::Clock::time_point last_there = base::Clock::now();
  // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): it is read below
  const base::Clock::time_point begin = base::Clock::now();
  std::chrono::milliseconds pause = kFirstPause;
  std::string reason;
  while (true) {
    try {
      std::string what = "asked the agent: ";
      const mounts::TimedStep step(listener_.steps, what.append(path).append(" ").append(body));
      return result_of(exchange(path, body, patience.deadline), listener_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::Unavailable || patience.retry == Retry::Never) throw;
      // What the agent said last is worth more than that the very last attempt ran out of time.
      if (reason.empty() || base::Clock::now() < patience.deadline) reason = error.what();
      listener_.steps.note(error.what());
    }
    if (!is_absent_) last_there = base::Clock::now();
    const base::Deadline deadline =
        std::min(patience.deadline, last_there + patience.agent_timeout);
    const std::chrono::milliseconds left = base::left_until(deadline);
    if (left <= kFirstPause) {
      throw unavailable("gave up after " + as_seconds(base::Clock::now() - begin) + ": " + reason);
    }
    std::this_thread::sleep_for(std::min(pause, left - kFirstPause));
    pause = std::min(pause * 2, kLongestPause);
  }
}

HttpReply AgentClient::exchange(const std::string& path, const std::string& body,
                                base::Deadline deadline) {
  if (!connection_.is_open()) connect(deadline);
  try {
    send(request_text(path, body, deadline, static_cast<bool>(listener_.agent_steps)), deadline);
    HttpReply reply = receive(path, deadline);
    if (!reply.keep_alive) connection_.reset();
    return reply;
  } catch (const Error&) {
    // What is left of a broken exchange must not be read as the answer to the next request.
    connection_.reset();
    throw;
  }
}

void AgentClient::connect(base::Deadline deadline) {
  std::string problems;
  is_absent_ = true;
  for (const std::string& path : sockets_) {
    int error = try_connect(path, connection_);
    while (error == EAGAIN && base::Clock::now() < deadline) {
      std::this_thread::sleep_for(kFirstPause);
      error = try_connect(path, connection_);
    }
    if (error == 0 || error == EAGAIN) is_absent_ = false;
    if (error == 0) {
      connected_to_ = path;
      return;
    }
    problems += (problems.empty() ? "" : ", ") + path + " (" + base::error_text(error) + ')';
  }
  throw unavailable("plexvold, the agent of this node, does not answer on " + problems +
                    "; start it, or see why it ended: journalctl -u plexvold, or kubectl -n "
                    "kube-system logs -l app=plexvold");
}

void AgentClient::send(const std::string& text, base::Deadline deadline) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    wait_ready(connection_.get(), POLLOUT, deadline,
               "the agent on " + connected_to_ + " does not take the request");
    const ssize_t count =
        ::send(connection_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno != EAGAIN && errno != EINTR) {
      throw unavailable("the agent on " + connected_to_ + " is gone: " + base::error_text(errno));
    }
  }
}

HttpReply AgentClient::receive(const std::string& path, base::Deadline deadline) {
  std::string received;
  std::array<char, 16384> buffer{};
  while (true) {
    wait_ready(connection_.get(), POLLIN, deadline,
               "the agent on " + connected_to_ + " does not answer " + path);
    const ssize_t count = ::recv(connection_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count <= 0) {
      throw unavailable("the agent on " + connected_to_ + " went away before it answered " + path);
    }
    received.append(buffer.data(), static_cast<std::size_t>(count));
    if (auto reply = parse_http_reply(received)) return *std::move(reply);
  }
}

}  // namespace plexvol::client
