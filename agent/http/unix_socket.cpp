#include "agent/http/unix_socket.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "agent/api/error.h"
#include "agent/base/files.h"

namespace plexvol::http {
namespace {

constexpr int kBacklog = 1024;
constexpr std::size_t kReadSize = 16UL * 1024;

std::string reason() {
  return base::error_text(errno);
}

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw Error(ErrorCode::Internal, fmt::format("cannot {} {}: {}", what, path, reason()));
}

// false: the deadline passed.
bool wait_for(int socket, short events, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto timeout = std::clamp<std::int64_t>(left.count(), 0, INT_MAX);
    pollfd watched{.fd = socket, .events = events, .revents = 0};
    const int ready = poll(&watched, 1, static_cast<int>(timeout));
    if (ready > 0) return true;
    if (ready == 0 && timeout < INT_MAX) return false;
    if (ready < 0 && errno != EINTR) return true;  // the call that follows will say what it is
  }
}

}  // namespace

SocketLock::SocketLock(std::string path) : path_(std::move(path)) {
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    // Whatever the umask is: a caller that may not pass here would see "not running" for "not
    // allowed".
    std::filesystem::permissions(folder, std::filesystem::perms{0755}, error);
  }
  if (error) {
    throw Error(ErrorCode::Internal,
                fmt::format("cannot create the directory {} for the socket: {}", folder.string(),
                            error.message()));
  }
  const std::string file = path_ + ".lock";
  lock_ = base::Descriptor(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock_.get() < 0) fail("open the lock file", file);
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) fail("lock", file);
    throw Error(ErrorCode::Conflict,
                fmt::format("another plexvold is serving {} (it holds {}): stop it "
                            "first, or use another socket",
                            path_, file));
  }
}

Listener::Listener(SocketLock lock) : lock_(std::move(lock)) {
  listen_and_rename();
}

Listener::~Listener() {
  if (socket_.get() >= 0) unlink(lock_.path().c_str());
}

void Listener::listen_and_rename() {
  const std::string& path = lock_.path();
  const std::string temporary = path + ".new";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (temporary.size() >= sizeof(address.sun_path)) {
    throw Error(ErrorCode::InvalidArgument,
                fmt::format("the socket path {} is too long: at most {} characters are allowed",
                            path, sizeof(address.sun_path) - sizeof(".new")));
  }
  std::memcpy(address.sun_path, temporary.c_str(), temporary.size() + 1);

  base::Descriptor made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made.get() < 0) fail("create a socket for", path);
  if (unlink(temporary.c_str()) != 0 && errno != ENOENT) fail("remove", temporary);
  // Before bind: on Linux the file is then made with this mode.
  if (fchmod(made.get(), 0600) != 0) fail("set the mode of", temporary);
  // The one cast that bind(2) asks for.
  if (bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fail("bind", temporary);
  }
  if (listen(made.get(), kBacklog) != 0) fail("listen on", temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) fail("rename to", path);
  socket_ = std::move(made);
}

Peer peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    throw Error(ErrorCode::Internal, "cannot read the caller's credentials: " + reason());
  }
  return Peer{.uid = credentials.uid, .pid = credentials.pid};
}

bool caller_left(int socket) {
  pollfd watched{.fd = socket, .events = 0, .revents = 0};
  return poll(&watched, 1, 0) > 0;
}

ReadResult read_some(int socket, std::string& buffer, Deadline deadline) {
  while (true) {
    if (!wait_for(socket, POLLIN, deadline)) return ReadResult::TimedOut;
    const std::size_t before = buffer.size();
    buffer.resize(before + kReadSize);
    const ssize_t count = recv(socket, buffer.data() + before, kReadSize, MSG_DONTWAIT);
    const int error = errno;
    buffer.resize(before + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count > 0) return ReadResult::Data;
    if (count == 0 || (error != EAGAIN && error != EINTR)) return ReadResult::Closed;
  }
}

bool write_all(int socket, std::string_view text, Deadline deadline) {
  while (!text.empty()) {
    if (!wait_for(socket, POLLOUT, deadline)) return false;
    const ssize_t count = send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
    if (count < 0 && errno != EAGAIN && errno != EINTR) return false;
  }
  return true;
}

}  // namespace plexvol::http
