// An HTTP/1.1 server on the loopback whose answers a test writes byte by byte.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/descriptor.h"

namespace plexvol::support {

struct HttpRequestSeen {
  std::string method;
  std::string path;                            // with the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int connection = 0;  // 1 is the first one that was made
};

// The server's end of a connection, for the handler.
class HttpConnection {
 public:
  explicit HttpConnection(int socket) : socket_(socket) {}

  // As it is. False: the client has closed.
  bool send(std::string_view bytes) const;
  void reply(int status, std::string_view body, std::string_view more_headers = "") const;
  // The head of a reply whose body follows in chunks.
  void begin_chunks() const;
  bool chunk(std::string_view text) const;
  void end_chunks() const;
  // Until the client has closed, or the server is stopped.
  void await_close() const;
  // After the handler the connection is closed.
  void close_after() { is_closed_ = true; }
  // By a reset instead of an end.
  void reset_after();
  bool is_closed() const { return is_closed_; }

 private:
  int socket_;
  bool is_closed_ = false;
};

class HttpServer {
 public:
  // Called in a thread for each connection, once for each request.
  using Handler = std::function<void(const HttpRequestSeen& request, HttpConnection& connection)>;

  explicit HttpServer(Handler handler);
  ~HttpServer();  // closes all connections
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const;  // "http://127.0.0.1:PORT"
  std::vector<HttpRequestSeen> requests() const;
  // False: there were not so many requests within the time.
  bool await_requests(std::size_t count,
                      std::chrono::milliseconds patience = std::chrono::seconds(30)) const;

 private:
  void accept_all();
  void serve(int socket, int number);

  Handler handler_;
  base::Descriptor listener_;
  int port_ = 0;
  std::atomic<bool> is_stopped_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<HttpRequestSeen> requests_;
  std::vector<std::shared_ptr<base::Descriptor>> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;  // last: it uses the others
};

// For all requests the same.
HttpServer::Handler reply_always(int status, const std::string& body,
                                 const std::string& more_headers = "");
// Nothing, until the client has closed.
HttpServer::Handler never_reply();

}  // namespace plexvol::support
