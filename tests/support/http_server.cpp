#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <stdexcept>
#include <utility>

namespace plexvol::support {

namespace {

std::string hex(std::size_t number) {
  std::string text;
  do {
    text.insert(text.begin(), "0123456789abcdef"[number % 16]);
    number /= 16;
  } while (number != 0);
  return text;
}

// What a client sends, request by request.
class RequestReader {
 public:
  explicit RequestReader(int socket) : socket_(socket) {}

  // nullopt: the client has closed.
  std::optional<HttpRequestSeen> read() {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return std::nullopt;
    }
    HttpRequestSeen request = parse_head(buffer_.substr(0, end + 2));
    buffer_.erase(0, end + 4);
    const auto length = request.headers.find("content-length");
    const std::size_t wanted = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (buffer_.size() < wanted) {
      if (!read_more()) return std::nullopt;
    }
    request.body = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
    return request;
  }

 private:
  bool read_more() {
    std::array<char, 16384> part{};
    const ssize_t got = ::recv(socket_, part.data(), part.size(), 0);
    if (got <= 0) return false;
    buffer_.append(part.data(), static_cast<std::size_t>(got));
    return true;
  }

  static HttpRequestSeen parse_head(std::string_view head) {
    HttpRequestSeen request;
    const std::string_view first = head.substr(0, head.find("\r\n"));
    const std::size_t blank = first.find(' ');
    request.method = first.substr(0, blank);
    request.path = first.substr(blank + 1, first.rfind(' ') - blank - 1);
    head.remove_prefix(first.size() + 2);
    while (!head.empty()) {
      const std::string_view line = head.substr(0, head.find("\r\n"));
      const std::size_t colon = std::min(line.find(':'), line.size());
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      request.headers[name] = value == std::string_view::npos ? "" : line.substr(value);
      head.remove_prefix(line.size() + 2);
    }
    return request;
  }

  int socket_;
  std::string buffer_;
};

}  // namespace

bool HttpConnection::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void HttpConnection::reply(int status, std::string_view body, std::string_view more_headers) const {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Status\r\n";
  text += "Content-Type: application/json\r\n";
  text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  text += more_headers;
  text += "\r\n";
  text += body;
  send(text);
}

void HttpConnection::begin_chunks() const {
  send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

bool HttpConnection::chunk(std::string_view text) const {
  return send(hex(text.size()) + "\r\n" + std::string(text) + "\r\n");
}

void HttpConnection::end_chunks() const {
  send("0\r\n\r\n");
}

void HttpConnection::await_close() const {
  char byte = 0;
  while (::recv(socket_, &byte, 1, 0) > 0) {
  }
}

void HttpConnection::reset_after() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close_after();
}

HttpServer::HttpServer(Handler handler)
    : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), SOMAXCONN) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    throw std::runtime_error("cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  is_stopped_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& socket : sockets_) {
      if (socket->is_open()) ::shutdown(socket->get(), SHUT_RDWR);
    }
  }
  for (std::thread& thread : threads_) thread.join();
}

std::string HttpServer::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

std::vector<HttpRequestSeen> HttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

bool HttpServer::await_requests(std::size_t count, std::chrono::milliseconds patience) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return requests_.size() >= count; });
}

void HttpServer::accept_all() {
  for (int number = 1; !is_stopped_; ++number) {
    auto socket = std::make_shared<base::Descriptor>(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket->is_open()) return;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, number] {
      serve(socket->get(), number);
      const std::lock_guard closing(mutex_);
      socket->reset();
    });
  }
}

void HttpServer::serve(int socket, int number) {
  RequestReader reader(socket);
  HttpConnection connection(socket);
  while (!is_stopped_ && !connection.is_closed()) {
    std::optional<HttpRequestSeen> request = reader.read();
    if (!request) return;
    request->connection = number;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(*request);
    }
    changed_.notify_all();
    handler_(*request, connection);
  }
}

HttpServer::Handler reply_always(int status, const std::string& body,
                                 const std::string& more_headers) {
  return [=](const HttpRequestSeen&, HttpConnection& connection) {
    connection.reply(status, body, more_headers);
  };
}

HttpServer::Handler never_reply() {
  return [](const HttpRequestSeen&, HttpConnection& connection) { connection.await_close(); };
}

}  // namespace plexvol::support
