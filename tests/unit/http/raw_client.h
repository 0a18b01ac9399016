// A caller of the server that can also misbehave: it writes bytes and reads bytes.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/descriptor.h"

namespace plexvol::http {

struct RawReply {
  unsigned status = 0;  // 0: the server closed without a reply
  std::string head;
  std::string body;
};

class RawClient {
 public:
  explicit RawClient(const std::string& socket_path);

  // false: the server has closed.
  bool send(std::string_view bytes) const;
  RawReply receive();
  RawReply exchange(std::string_view bytes);
  // Waits until the server has closed the connection; what came before is thrown away.
  bool wait_until_closed();
  void close() { socket_.reset(); }
  int fd() const { return socket_.get(); }

 private:
  bool read_more();

  base::Descriptor socket_;
  std::string buffer_;
};

// A well-formed request; `headers` are whole lines.
std::string request_text(const std::string& path, const std::string& body = "{}",
                         const std::string& headers = "Plexvol-Protocol: 1\r\n");

}  // namespace plexvol::http
