// HTTP/1.1 messages as text and as structs. Its .cpp is the only file that names Boost.Beast: that
// header alone costs a compiler twenty seconds.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace plexvol::http {

struct Limits {
  std::size_t header_bytes = 32UL * 1024;
  std::size_t body_bytes = 1024UL * 1024;
};

struct Message {
  bool is_post = false;
  std::string path;
  std::string body;
  bool keep_alive = false;
  // The headers of agent/api/protocol.h, as they came.
  std::optional<std::string> protocol;
  std::optional<std::string> timeout;
  std::optional<std::string> trace;
};

// A message that is not HTTP or breaks a limit: `status` is the answer, after which the connection
// cannot be used further.
class BadMessage : public std::runtime_error {
 public:
  BadMessage(unsigned status, const std::string& what)
      : std::runtime_error(what), status_(status) {}
  unsigned status() const { return status_; }

 private:
  unsigned status_;
};

// Reads one message out of bytes that come in pieces.
class MessageParser {
 public:
  explicit MessageParser(const Limits& limits);
  ~MessageParser();
  MessageParser(const MessageParser&) = delete;
  MessageParser& operator=(const MessageParser&) = delete;

  // Takes from the front of `buffer` what belongs to this message. true: the message is complete.
  // Throws BadMessage.
  bool feed(std::string& buffer);
  // After feed() answered true, once.
  Message take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The whole reply, headers and body. A reply of 405 names the one method there is.
std::string to_text(unsigned status, const std::string& body, bool keep_alive);

}  // namespace plexvol::http
