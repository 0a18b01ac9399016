// HTTP/1.1 to one server. Private to agent/kube. Only transport.cpp includes libcurl's header.
//
// From any thread: each exchange takes a connection for itself from those that were kept alive, or
// makes one. Certificates are always verified. No redirect is followed, and no proxy or other
// setting of the environment is used.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/deadline.h"
#include "agent/kube/client.h"

namespace plexvol::kube {

struct HttpRequest {
  std::string method = "GET";
  std::string path;          // with the query
  std::string content_type;  // of the body; "": no body
  std::string body;
};

struct HttpReply {
  long status = 0;
  std::string body;  // at most kMostBodyBytes
  std::chrono::seconds retry_after{0};
};

class Transport {
 public:
  static constexpr std::size_t kMostBodyBytes = 64UL << 20U;

  // Throws InvalidArgument when the server's address is none.
  explicit Transport(const ClientSettings& settings);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Throws InvalidArgument when the path cannot be sent; Unavailable when there is no whole answer
  // by the deadline, or it is stopped; Internal when the answer is too long, or the token's or
  // authority's file cannot be read. A request that has a body is sent once only, unless the server
  // closed the connection before any of it was sent, or did not accept the token and there is a new
  // one.
  HttpReply send(const HttpRequest& request, base::Deadline deadline, const std::stop_token& stop);

  // Called with the body of a reply with status 200, part by part as it comes. False: enough.
  using Sink = std::function<bool(std::string_view part)>;
  struct StreamLimits {
    base::Deadline status_by;
    base::Deadline end_by;
  };
  // As send. The body of a reply with another status is in the reply. Stopped, or told that it is
  // enough, it returns at once; the reply's status is 0 when none has come so far.
  HttpReply stream(const HttpRequest& request, const StreamLimits& limits, const Sink& sink,
                   const std::stop_token& stop);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace plexvol::kube
