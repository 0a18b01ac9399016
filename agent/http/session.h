// One connection of the server, from accept to close: its thread's work, and what others may do to
// it meanwhile.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/http/server.h"
#include "agent/http/unix_socket.h"

namespace plexvol::http {

// UrgentOnly: one request, which must be of Settings::urgent_paths.
enum class SessionUse { Any, UrgentOnly };

class Session {
 public:
  Session(base::Descriptor socket, const Settings& settings, const Handler& handler,
          SessionUse use);

  // Answers requests until either side closes. Throws nothing.
  void run();

  // From any thread.
  // The kernel says that the caller is gone. While no handler works for it, this is left to run(),
  // which first reads what the caller had sent before.
  void hang_up();
  // Ends the wait for a next request, and tells a handler at work.
  void stop();
  void abort() const;  // also ends the writing of a reply
  int fd() const { return socket_.get(); }

 private:
  void serve();
  bool wait_for_request();
  std::optional<Message> read_message();
  void answer_bad_message(const BadMessage& bad);
  Request to_request(Message message) const;
  Response answer(Message message);
  Response call_handler(const Request& request);
  bool reply(const Response& response, bool keep_alive);

  const Settings& settings_;
  const Handler& handler_;
  base::Descriptor socket_;
  SessionUse use_;
  Peer peer_;
  std::string buffer_;  // read, and not yet part of a request
  std::shared_ptr<Connection> connection_ = std::make_shared<Connection>();
  std::stop_source stop_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> in_handler_ = false;
};

}  // namespace plexvol::http
