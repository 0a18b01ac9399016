// The agent's server: HTTP/1.1 on Unix sockets, for root on this machine. Which path does what is
// not known here.
//
// One thread per connection, since a call may wait for minutes; connections beyond the limit wait
// in the listen backlog. What a caller does wrong (no HTTP, no or an unknown protocol version, too
// much, too slowly, not root) is answered here; whatever a handler throws becomes the reply's error
// here.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/http/message.h"

namespace plexvol::http {

class SocketLock;

// The caller's side of a connection, for handlers to hold on to.
class Connection {
 public:
  // Calls back once when the caller is gone: at once when it already is, and also while a handler
  // works for it. Never because the server stops, since that says nothing about the caller. It is
  // called from a thread of the server, must be quick and must not throw.
  void on_close(std::function<void()> callback);
  bool closed() const;

 private:
  friend class Session;
  bool watched() const;
  void mark_closed();
  void run_callbacks();

  mutable std::mutex mutex_;
  bool closed_ = false;
  std::vector<std::function<void()>> callbacks_;
};

struct Request {
  std::string path;
  std::string body;
  int protocol_version = 0;             // one that we speak
  std::chrono::milliseconds timeout{};  // the caller waits this long, from `received` on
  std::chrono::steady_clock::time_point received;
  bool trace = false;
  uid_t peer_uid = 0;
  pid_t peer_pid = 0;
  std::shared_ptr<Connection> connection;  // the same object for every request of one connection
  // Nobody waits for the answer any more: the caller is gone, or the server stops.
  std::stop_token stop;
};

struct Response {
  unsigned status = 200;
  std::string body;
};

// Called from many threads at once. Error becomes the reply that to_response() makes, any other
// exception an Internal one.
using Handler = std::function<Response(const Request&)>;

Response to_response(const Error& error);

struct Settings {
  std::vector<std::string> socket_paths = {};
  unsigned max_connections = 256;
  // Calls of these paths never wait for others to end: beyond max_connections as many connections
  // more are taken for them, where any other call is answered Unavailable at once.
  std::set<std::string> urgent_paths = {};
  unsigned reserved_connections = 64;
  Limits limits = {};
  // From the first byte of a request to its last, and for the reply to be taken.
  std::chrono::milliseconds message_limit{10'000};
  // Between two requests. Not for a connection that somebody watches by on_close: a mount may take
  // hours.
  std::chrono::milliseconds idle_limit{300'000};
  std::chrono::milliseconds default_timeout{90'000};  // of a request that names none
  uid_t allowed_uid = 0;                              // besides root, who may always: for tests
};

// For an agent that must know, before it does anything else, that no other agent serves them.
std::vector<SocketLock> lock_sockets(const std::vector<std::string>& paths);

class Server {
 public:
  // Listens when it returns. Throws what SocketLock and Listener do.
  Server(const Settings& settings, Handler handler);
  // By locks of its paths that were taken before, with lock_sockets().
  Server(Settings settings, Handler handler, std::vector<SocketLock> locks);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Returns only when every handler has.
  ~Server();

  // No new connection and no new request from now on, the sockets are removed; handlers are told by
  // Request::stop and their replies still go out. false: some handler has not returned within
  // `grace`, and the process had better end without running destructors.
  bool stop(std::chrono::milliseconds grace);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace plexvol::http
