#include "tests/unit/http/raw_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <stdexcept>
#include <system_error>

namespace plexvol::http {

RawClient::RawClient(const std::string& socket_path)
    : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  // So that a server that never answers fails the test instead of hanging it.
  const timeval limit{.tv_sec = 20, .tv_usec = 0};
  setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (connect(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to " + socket_path + ": " +
                             std::generic_category().message(errno));
  }
}

bool RawClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool RawClient::read_more() {
  std::array<char, 4096> piece{};
  const ssize_t count = recv(fd(), piece.data(), piece.size(), 0);
  if (count > 0) buffer_.append(piece.data(), static_cast<std::size_t>(count));
  return count > 0;
}

RawReply RawClient::receive() {
  RawReply reply;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more()) return reply;
  }
  reply.head = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  const std::string name = "Content-Length: ";
  const std::size_t length = std::stoul(reply.head.substr(reply.head.find(name) + name.size()));
  while (buffer_.size() < length) {
    if (!read_more()) return reply;
  }
  reply.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  reply.status = static_cast<unsigned>(std::stoul(reply.head.substr(sizeof("HTTP/1.1"))));
  return reply;
}

RawReply RawClient::exchange(std::string_view bytes) {
  send(bytes);
  return receive();
}

bool RawClient::wait_until_closed() {
  while (read_more()) buffer_.clear();
  return errno != EAGAIN;
}

std::string request_text(const std::string& path, const std::string& body,
                         const std::string& headers) {
  return "POST " + path + " HTTP/1.1\r\nHost: plexvold\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace plexvol::http
