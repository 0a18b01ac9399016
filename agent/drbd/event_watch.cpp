#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/drbd/drbd.h"
#include "agent/drbd/events.h"

namespace plexvol::drbd {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5'000};
constexpr int kCannotRun = 127;

// After fork, in the child of a program with threads: only calls that are safe in a signal handler.
[[noreturn]] void become(char* const* argv, int out, pid_t parent) {
  // The watch's thread is the parent, and lives as long as the child is wanted.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotRun);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  char locale[] = "LC_ALL=C";
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  const std::array<char*, 3> environment{locale, path, nullptr};
  ::execve(argv[0], argv, environment.data());
  ::_exit(kCannotRun);
}

}  // namespace

class EventWatch::Impl {
 public:
  Impl(std::function<void(const std::string&)> on_event, Tool tool)
      : on_event_(std::move(on_event)), tool_(std::move(tool)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (stop_ < 0) throw Error(ErrorCode::Internal, "cannot make an eventfd to watch DRBD with");
    thread_ = std::thread([this] { watch(); });
  }

  ~Impl() {
    const std::uint64_t one = 1;
    // An eventfd that nobody else writes to always takes a 1.
    [[maybe_unused]] const ssize_t wrote = ::write(stop_, &one, sizeof one);
    thread_.join();
    ::close(stop_);
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  void watch() {
    milliseconds pause = kFirstPause;
    do {
      if (::access(tool_.needs.c_str(), F_OK) == 0 && follow_once()) pause = kFirstPause;
      pause = std::min(pause * 2, kLongestPause);
    } while (!stopped_within(pause));
  }

  bool stopped_within(milliseconds time) const {
    pollfd wait{stop_, POLLIN, 0};
    return ::poll(&wait, 1, static_cast<int>(time.count())) != 0;
  }

  // Runs the tool until it ends or we are stopped. True when it said anything.
  bool follow_once() {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return false;
    std::vector<char*> argv;
    for (std::string& word : tool_.argv) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) become(argv.data(), pipe[1], parent);
    ::close(pipe[1]);
    const bool said = child > 0 && read_until_end(pipe[0]);
    ::close(pipe[0]);
    if (child > 0) {
      ::kill(child, SIGKILL);
      while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    return said;
  }

  bool read_until_end(int out) {
    bool said = false;
    std::string rest;
    std::array<char, 4096> part{};
    for (;;) {
      std::array<pollfd, 2> wait{pollfd{stop_, POLLIN, 0}, pollfd{out, POLLIN, 0}};
      if (::poll(wait.data(), wait.size(), -1) < 0) continue;
      if (wait[0].revents != 0) return said;
      const ssize_t got = ::read(out, part.data(), part.size());
      if (got <= 0) return said;
      said = true;
      rest.append(part.data(), static_cast<std::size_t>(got));
      for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
        tell(rest.substr(0, end));
        rest.erase(0, end + 1);
      }
    }
  }

  void tell(const std::string& text) const {
    const auto line = parse_event_line(text);
    if (!line) return;
    // The first picture is not told name by name: what had vanished meanwhile is not in it.
    if (line->action == "exists") {
      if (line->object == "-") on_event_("");
      return;
    }
    const std::string_view name = find_field(line->fields, "name");
    if (!name.empty()) on_event_(std::string(name));
  }

  std::function<void(const std::string&)> on_event_;
  Tool tool_;
  int stop_;
  std::thread thread_;
};

EventWatch::EventWatch(std::function<void(const std::string& resource)> on_event)
    : EventWatch(std::move(on_event), Tool{}) {}

EventWatch::EventWatch(std::function<void(const std::string& resource)> on_event, Tool tool)
    : impl_(std::make_unique<Impl>(std::move(on_event), std::move(tool))) {}

EventWatch::~EventWatch() = default;

}  // namespace plexvol::drbd
