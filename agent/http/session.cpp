#include "agent/http/session.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "agent/api/protocol.h"

namespace plexvol::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How much of an oversized request is read and thrown away, so that the caller comes to read our
// answer.
constexpr std::size_t kMaxDrainBytes = 64UL * 1024 * 1024;
constexpr milliseconds kMaxTimeout{std::chrono::hours(1)};

Response to_response(unsigned status, ErrorCode code, const std::string& message) {
  api::Reply reply;
  reply.error = {.code = code, .message = message};
  return {.status = status, .body = api::to_json(reply)};
}

std::optional<long> parse_number(const std::string& text) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

int parse_protocol(const std::optional<std::string>& header) {
  const std::string ours =
      fmt::format("{} to {}", api::kOldestProtocolVersion, api::kProtocolVersion);
  if (!header) {
    throw Error(
        ErrorCode::InvalidArgument,
        fmt::format("the request names no protocol version (header {}); this plexvold supports {}",
                    api::kProtocolHeader, ours));
  }
  const auto version = parse_number(*header);
  if (!version || *version < api::kOldestProtocolVersion || *version > api::kProtocolVersion) {
    throw Error(
        ErrorCode::InvalidArgument,
        fmt::format("protocol version {} is not supported; this plexvold supports {}: install "
                    "the driver and the agent of the same release",
                    *header, ours));
  }
  return static_cast<int>(*version);
}

milliseconds parse_timeout(const std::optional<std::string>& header, milliseconds fallback) {
  if (!header) return fallback;
  const auto timeout = parse_number(*header);
  if (!timeout || *timeout <= 0) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("{} is \"{}\", expected a number of milliseconds", api::kTimeoutHeader,
                            *header));
  }
  return std::min(milliseconds(*timeout), kMaxTimeout);
}

}  // namespace

Response to_response(const Error& error) {
  return to_response(api::http_status(error.code()), error.code(), error.what());
}

void Connection::on_close(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

bool Connection::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

bool Connection::watched() const {
  const std::lock_guard lock(mutex_);
  return !callbacks_.empty();
}

void Connection::mark_closed() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Connection::run_callbacks() {
  std::vector<std::function<void()>> callbacks;
  {
    const std::lock_guard lock(mutex_);
    callbacks.swap(callbacks_);
  }
  for (const auto& callback : callbacks) callback();
}

Session::Session(base::Descriptor socket, const Settings& settings, const Handler& handler,
                 SessionUse use)
    : settings_(settings),
      handler_(handler),
      socket_(std::move(socket)),
      use_(use),
      peer_(peer_of(fd())) {}

void Session::run() {
  try {
    serve();
  } catch (const std::exception&) {
    // Out of memory while reading or replying: the caller sees a closed connection and asks again.
  }
  if (stopping_) return;
  connection_->mark_closed();
  connection_->run_callbacks();
}

// What a connection asks for first is not begun for a caller that has left: its failure has been
// reported, and the next call may already ask for the opposite. What comes later on a connection
// reports on the call before it, as `mounted` does.
void Session::serve() {
  bool first = true;
  while (!stopping_ && wait_for_request()) {
    bool keep_alive = false;
    Response response;
    try {
      std::optional<Message> message = read_message();
      if (!message || (first && caller_left(fd()))) return;
      first = false;
      keep_alive = message->keep_alive;
      response = answer(std::move(*message));
    } catch (const BadMessage& bad) {
      answer_bad_message(bad);
      return;
    }
    keep_alive = keep_alive && !stopping_ && use_ == SessionUse::Any;
    if (!reply(response, keep_alive) || !keep_alive) return;
  }
}

// In slices, since a connection may come to be watched while it is idle.
bool Session::wait_for_request() {
  auto deadline = steady_clock::now() + settings_.idle_limit;
  while (buffer_.empty()) {
    switch (read_some(fd(), buffer_, deadline)) {
      case ReadResult::Data:
        return true;
      case ReadResult::Closed:
        return false;
      case ReadResult::TimedOut:
        if (!connection_->watched()) return false;
        deadline = steady_clock::now() + settings_.idle_limit;
    }
  }
  return true;
}

// nullopt: the caller closed before the request was complete.
std::optional<Message> Session::read_message() {
  const auto deadline = steady_clock::now() + settings_.message_limit;
  MessageParser parser(settings_.limits);
  while (!parser.feed(buffer_)) {
    switch (read_some(fd(), buffer_, deadline)) {
      case ReadResult::Data:
        break;
      case ReadResult::Closed:
        return std::nullopt;
      case ReadResult::TimedOut:
        throw BadMessage(408, fmt::format("the request was not complete within {} ms",
                                          settings_.message_limit.count()));
    }
  }
  return parser.take();
}

void Session::answer_bad_message(const BadMessage& bad) {
  if (!reply(to_response(bad.status(), ErrorCode::InvalidArgument, bad.what()), false)) return;
  // Closing with unread bytes would reset the connection, and the caller would never see why.
  shutdown(fd(), SHUT_WR);
  const auto deadline = steady_clock::now() + settings_.message_limit;
  std::size_t drained = 0;
  do {
    drained += buffer_.size();
    buffer_.clear();
  } while (drained < kMaxDrainBytes && read_some(fd(), buffer_, deadline) == ReadResult::Data);
}

Response Session::answer(Message message) {
  if (peer_.uid != 0 && peer_.uid != settings_.allowed_uid) {
    return to_response(403, ErrorCode::InvalidArgument,
                       fmt::format("only root may call plexvold; the caller is uid {}", peer_.uid));
  }
  if (!message.is_post) {
    return to_response(405, ErrorCode::InvalidArgument, "plexvold answers POST requests only");
  }
  if (use_ == SessionUse::UrgentOnly && !settings_.urgent_paths.contains(message.path)) {
    return to_response(503, ErrorCode::Unavailable,
                       fmt::format("plexvold is busy with {} calls (max_connections), all of them "
                                   "waiting: see `plexvol volume list`",
                                   settings_.max_connections));
  }
  try {
    return call_handler(to_request(std::move(message)));
  } catch (const Error& error) {
    return to_response(error);
  } catch (const std::exception& error) {
    return to_response(Error(ErrorCode::Internal, error.what()));
  }
}

Request Session::to_request(Message message) const {
  const int version = parse_protocol(message.protocol);
  const auto timeout = parse_timeout(message.timeout, settings_.default_timeout);
  return Request{
      .path = std::move(message.path),
      .body = std::move(message.body),
      .protocol_version = version,
      .timeout = timeout,
      .received = steady_clock::now(),
      .trace = message.trace == "1",
      .peer_uid = peer_.uid,
      .peer_pid = peer_.pid,
      .connection = connection_,
      .stop = stop_.get_token(),
  };
}

Response Session::call_handler(const Request& request) {
  struct InHandler {
    explicit InHandler(std::atomic<bool>& given) : flag(given) { flag = true; }
    ~InHandler() { flag = false; }
    InHandler(const InHandler&) = delete;
    InHandler& operator=(const InHandler&) = delete;
    std::atomic<bool>& flag;
  };
  const InHandler in_handler(in_handler_);
  return handler_(request);
}

bool Session::reply(const Response& response, bool keep_alive) {
  return write_all(fd(), to_text(response.status, response.body, keep_alive),
                   steady_clock::now() + settings_.message_limit);
}

void Session::hang_up() {
  if (stopping_) return;  // then it may be our own shutdown(2) that is seen
  stop_.request_stop();
  connection_->mark_closed();
  // What the caller had sent before it went is read and handled first: `mounted` may be among it.
  if (in_handler_) connection_->run_callbacks();
}

void Session::stop() {
  stopping_ = true;
  stop_.request_stop();
  shutdown(fd(), SHUT_RD);
}

void Session::abort() const {
  shutdown(fd(), SHUT_RDWR);
}

}  // namespace plexvol::http
