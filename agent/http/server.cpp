#include "agent/http/server.h"

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <thread>
#include <utility>

#include "agent/base/files.h"
#include "agent/http/session.h"
#include "agent/http/unix_socket.h"

namespace plexvol::http {
namespace {

// Keys of what epoll watches; below them the listeners, above them the connections.
constexpr std::uint64_t kWakeUp = 1000;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::Internal, fmt::format("{}: {}", what, base::error_text(errno)));
}

}  // namespace

// One thread accepts, and sees callers go away. A further thread for each connection runs its
// Session.
class Server::Loop {
 public:
  Loop(Settings settings, Handler handler, std::vector<SocketLock> locks);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  bool stop(std::chrono::milliseconds grace);

 private:
  void run();
  void handle(std::uint64_t key);
  void listen(bool wanted);
  void accept_one(int listener);
  void start(base::Descriptor socket);
  void end(std::uint64_t key);
  void watch(int fd, std::uint64_t key, std::uint32_t events) const;
  void wake_up() const;
  bool wait_until_empty(std::chrono::milliseconds limit);
  std::size_t most_sessions() const {
    const unsigned reserved = settings_.urgent_paths.empty() ? 0 : settings_.reserved_connections;
    return std::size_t{settings_.max_connections} + reserved;
  }

  const Settings settings_;
  const Handler handler_;
  const base::Descriptor epoll_{epoll_create1(EPOLL_CLOEXEC)};
  const base::Descriptor wake_up_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool listening_ = true;  // of the loop's thread alone

  std::mutex mutex_;
  std::condition_variable ended_;
  bool stopping_ = false;
  std::uint64_t last_key_ = kWakeUp;
  std::map<std::uint64_t, std::shared_ptr<Session>> sessions_;

  std::thread thread_;
};

Server::Loop::Loop(Settings settings, Handler handler, std::vector<SocketLock> locks)
    : settings_(std::move(settings)), handler_(std::move(handler)) {
  if (epoll_.get() < 0 || wake_up_.get() < 0) fail("cannot make the server's descriptors");
  watch(wake_up_.get(), kWakeUp, EPOLLIN);
  for (SocketLock& lock : locks) {
    listeners_.push_back(std::make_unique<Listener>(std::move(lock)));
    watch(listeners_.back()->fd(), listeners_.size() - 1, EPOLLIN);
  }
  thread_ = std::thread([this] { run(); });
}

Server::Loop::~Loop() {
  stop(std::chrono::milliseconds(0));
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return sessions_.empty(); });
}

bool Server::Loop::stop(std::chrono::milliseconds grace) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [key, session] : sessions_) session->stop();
  }
  wake_up();
  if (thread_.joinable()) thread_.join();
  listeners_.clear();
  if (wait_until_empty(grace)) return true;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, session] : sessions_) session->abort();
  }
  // Those that only had a reply left to write end now.
  return wait_until_empty(std::chrono::milliseconds(200));
}

bool Server::Loop::wait_until_empty(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return ended_.wait_for(lock, limit, [this] { return sessions_.empty(); });
}

void Server::Loop::run() {
  while (true) {
    std::array<epoll_event, 64> events{};
    // With a limit, so that accepting is tried again after the system had no descriptors left.
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), 1000);
    for (int i = 0; i < count; ++i) handle(events.at(static_cast<std::size_t>(i)).data.u64);
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    const bool room = sessions_.size() < most_sessions();
    lock.unlock();
    if (room != listening_) listen(room);
  }
}

void Server::Loop::handle(std::uint64_t key) {
  if (key < kWakeUp) return accept_one(listeners_.at(key)->fd());
  if (key == kWakeUp) {
    eventfd_t ignored = 0;
    eventfd_read(wake_up_.get(), &ignored);
    return;
  }
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return;
    session = found->second;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session->fd(), nullptr);
  }
  session->hang_up();
}

void Server::Loop::listen(bool wanted) {
  listening_ = wanted;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    epoll_event event{.events = wanted ? EPOLLIN : 0U, .data = {.u64 = i}};
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listeners_[i]->fd(), &event);
  }
}

void Server::Loop::accept_one(int listener) {
  base::Descriptor socket(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.get() >= 0) {
    start(std::move(socket));
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
    listen(false);  // else epoll would report it again at once, for ever
  }
}

void Server::Loop::start(base::Descriptor socket) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;
  const std::uint64_t key = ++last_key_;
  try {
    const auto use =
        sessions_.size() < settings_.max_connections ? SessionUse::Any : SessionUse::UrgentOnly;
    auto session = std::make_shared<Session>(std::move(socket), settings_, handler_, use);
    sessions_[key] = session;
    // No event is asked for: that both directions are closed is always reported.
    watch(session->fd(), key, 0);
    std::thread([this, session, key] {
      session->run();
      end(key);
    }).detach();
  } catch (const std::exception&) {
    sessions_.erase(
        key);  // no thread or no memory: the caller sees its connection closed, and asks again
  }
}

void Server::Loop::end(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(key);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->fd(), nullptr);
  sessions_.erase(found);
  wake_up();
  ended_.notify_all();  // under the lock: after it this object may be gone
}

void Server::Loop::watch(int fd, std::uint64_t key, std::uint32_t events) const {
  epoll_event event{.events = events, .data = {.u64 = key}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail("cannot watch a socket");
}

void Server::Loop::wake_up() const {
  eventfd_write(wake_up_.get(), 1);
}

std::vector<SocketLock> lock_sockets(const std::vector<std::string>& paths) {
  std::vector<SocketLock> locks;
  locks.reserve(paths.size());
  for (const std::string& path : paths) locks.emplace_back(path);
  return locks;
}

Server::Server(const Settings& settings, Handler handler)
    : Server(settings, std::move(handler), lock_sockets(settings.socket_paths)) {}

Server::Server(Settings settings, Handler handler, std::vector<SocketLock> locks)
    : loop_(std::make_unique<Loop>(std::move(settings), std::move(handler), std::move(locks))) {}

Server::~Server() = default;

bool Server::stop(std::chrono::milliseconds grace) {
  return loop_->stop(grace);
}

}  // namespace plexvol::http
