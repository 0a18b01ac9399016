// The answer of an HTTP/1.1 exchange, out of bytes that come in pieces. Only what the agent sends
// is understood: a status line, headers, and a body of Content-Length.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace plexvol::client {

struct HttpReply {
  unsigned status = 0;
  std::string body;
  bool keep_alive = true;
};

// The reply at the front of `received`, or nullopt while bytes are missing. Throws Internal when it
// is no HTTP, has no Content-Length, more than 32 KiB of headers, a body of more than 64 MiB, or
// anything behind its body.
std::optional<HttpReply> parse_http_reply(const std::string& received);

}  // namespace plexvol::client
