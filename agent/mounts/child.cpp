#include "agent/mounts/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/base/fork.h"

namespace plexvol::mounts {

namespace {

constexpr std::size_t kLongestMessage = 4096;

void let_go_of_standard_descriptors() {
  const base::Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!null.is_open() || ::dup2(null.get(), fd) < 0) ::close(fd);
  }
}

}  // namespace

bool Channel::send(const std::string& message) const {
  const std::string text = message.substr(0, kLongestMessage);
  while (true) {
    const ssize_t count = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (count >= 0 || errno != EINTR) return count >= 0;
  }
}

std::optional<std::string> Channel::receive(std::optional<base::Deadline> deadline) const {
  while (true) {
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&waiting, 1, deadline ? base::poll_timeout(*deadline) : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    std::array<char, kLongestMessage> buffer{};
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    return std::string(buffer.data(), static_cast<std::size_t>(count));
  }
}

Child::Child(const std::function<void(Channel&)>& work) : channel_(base::Descriptor()) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw Error(ErrorCode::Internal, "no socket for a child process: " + base::error_text(errno));
  }
  base::Descriptor ours(ends[0]);
  base::Descriptor theirs(ends[1]);
  pid_ = base::fork_child([&] {
    ours.reset();
    let_go_of_standard_descriptors();
    try {
      Channel channel(std::move(theirs));
      work(channel);
    } catch (...) {  // NOLINT(bugprone-empty-catch): the driver sees that no answer comes
    }
    return 0;
  });
  if (pid_ < 0) throw Error(ErrorCode::Internal, "no child process: " + base::error_text(errno));
  channel_ = Channel(std::move(ours));
}

Child::~Child() {
  channel_.close();
  if (pid_ > 0) ::waitpid(pid_, nullptr, WNOHANG);
}

bool Child::wait(base::Deadline deadline) {
  constexpr std::chrono::milliseconds kPause(5);
  while (pid_ > 0) {
    const pid_t ended = ::waitpid(pid_, nullptr, WNOHANG);
    if (ended == pid_ || (ended < 0 && errno == ECHILD)) pid_ = -1;
    if (pid_ < 0) break;
    if (base::Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

}  // namespace plexvol::mounts
