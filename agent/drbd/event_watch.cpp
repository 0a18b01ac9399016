#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/fork.h"
#include "agent/drbd/drbd.h"
#include "agent/drbd/events.h"
#include "agent/process/child.h"

namespace plexvol::drbd {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5'000};
// For a killed child to end.
constexpr milliseconds kPatience{1'000};
constexpr int kCannotRun = 127;

// After fork, in the child of a program with threads: only calls that are safe in a signal handler.
int become(char* const* argv, int out, pid_t parent) {
  // It dies with the watch's thread, which lives as long as the child is wanted.
  process::prepare_child(parent);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  process::mark_descriptors_close_on_exec();
  char locale[] = "LC_ALL=C";
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  const std::array<char*, 3> environment{locale, path, nullptr};
  ::execve(argv[0], argv, environment.data());
  return kCannotRun;
}

}  // namespace

class EventWatch::Impl {
 public:
  Impl(std::function<void(const std::string&)> on_event, Tool tool)
      : on_event_(std::move(on_event)), tool_(std::move(tool)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (!stop_.is_open()) {
      throw Error(ErrorCode::Internal, "cannot create an eventfd to watch DRBD");
    }
    thread_ = std::thread([this] { watch(); });
  }

  ~Impl() {
    const std::uint64_t one = 1;
    // An eventfd that nobody else writes to always takes a 1.
    [[maybe_unused]] const ssize_t wrote = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  void watch() {
    milliseconds pause = kFirstPause;
    do {
      const auto begin = std::chrono::steady_clock::now();
      if (::access(tool_.needs.c_str(), F_OK) == 0) follow_once();
      const bool lasted = std::chrono::steady_clock::now() - begin > kLongestPause;
      pause = lasted ? kFirstPause : std::min(pause * 2, kLongestPause);
    } while (!stopped_within(pause));
  }

  bool stopped_within(milliseconds time) const {
    pollfd wait{stop_.get(), POLLIN, 0};
    return ::poll(&wait, 1, static_cast<int>(time.count())) > 0;
  }

  // Runs the tool until it ends or we are stopped.
  void follow_once() {
    auto pipe = base::make_pipe();
    if (!pipe) return;
    std::vector<char*> argv;
    for (std::string& word : tool_.argv) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t child =
        base::fork_child([&] { return become(argv.data(), pipe->write_end.get(), parent); });
    pipe->write_end.reset();
    if (child < 0) return;
    read_until_end(pipe->read_end.get());
    end(child, pipe->read_end.get());
  }

  static void end(pid_t child, int out) {
    ::kill(child, SIGKILL);
    std::array<char, 4096> rest{};
    pollfd wait{out, POLLIN, 0};
    while (::poll(&wait, 1, static_cast<int>(kPatience.count())) > 0) {
      if (::read(out, rest.data(), rest.size()) > 0) continue;
      base::wait_for_end(child);
      return;
    }
    process::abandon(child);  // it hangs in the kernel; whoever stops the watch must not
  }

  void read_until_end(int out) const {
    std::string rest;
    std::array<char, 4096> part{};
    for (;;) {
      std::array<pollfd, 2> wait{pollfd{stop_.get(), POLLIN, 0}, pollfd{out, POLLIN, 0}};
      if (::poll(wait.data(), wait.size(), -1) < 0) continue;
      if (wait[0].revents != 0) return;
      const ssize_t got = ::read(out, part.data(), part.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return;
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
  base::Descriptor stop_;
  std::thread thread_;
};

EventWatch::EventWatch(std::function<void(const std::string& resource)> on_event)
    : EventWatch(std::move(on_event), Tool{}) {}

EventWatch::EventWatch(std::function<void(const std::string& resource)> on_event, Tool tool)
    : impl_(std::make_unique<Impl>(std::move(on_event), std::move(tool))) {}

EventWatch::~EventWatch() = default;

}  // namespace plexvol::drbd
