#include "agent/process/boost_runner.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

// Boost.Process has vfork only for programs that ask for an X/Open of before 2008; Linux has it
// always.
#ifndef BOOST_POSIX_HAS_VFORK
#define BOOST_POSIX_HAS_VFORK 1
#endif
#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/environment.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <boost/process/posix.hpp>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/base/fork.h"
#include "agent/process/child.h"
#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

namespace bp = boost::process;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxOutput = 16U << 20U;
// How late the end of a tool is seen whose own children keep its pipes open; else the pipes' end
// tells.
constexpr milliseconds kTick{100};
constexpr milliseconds kShortestTick{1};
constexpr milliseconds kKillLimit{5'000};
// How many stall limits of CPU time a tool may use without reading or writing anything.
constexpr int kComputingLimits = 10;

std::string to_text(milliseconds time) {
  const auto count = time.count();
  return count % 1000 == 0 ? fmt::format("{} s", count / 1000) : fmt::format("{} ms", count);
}

struct Pipe {
  base::Descriptor reader;
  base::Descriptor writer;
};

// 0 to 2 may be closed in this program; then dup2 in the child would meet its own source.
base::Descriptor above_standard(base::Descriptor from) {
  if (from.get() > STDERR_FILENO) return from;
  return base::Descriptor(fcntl(from.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

Pipe make_pipe() {
  auto pipe = base::make_pipe();
  if (!pipe) throw Error(ErrorCode::Internal, "cannot make a pipe: " + base::error_text(errno));
  return {above_standard(std::move(pipe->read_end)), above_standard(std::move(pipe->write_end))};
}

void make_nonblocking(const base::Descriptor& descriptor) {
  fcntl(descriptor.get(), F_SETFL, fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

pid_t spawn(const Command& command, const Pipe& in, const Pipe& out, const Pipe& err,
            const Pipe& report) {
  bp::environment environment;
  environment["LC_ALL"] = "C";
  environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";
  // It keeps the number that it has here: Boost.Process may use any low one in the child.
  const int kept = report.writer.get();
  if (report.writer.is_open()) environment[command.report_variable] = std::to_string(kept);
  const std::vector<std::string> arguments(command.argv.begin() + 1, command.argv.end());
  const pid_t parent = getpid();
  // vfork: what is called in the child makes system calls only. A fork would copy all page tables
  // for each tool.
  std::error_code failed;
  bp::child child(bp::posix::use_vfork, bp::exe = command.argv.front(), bp::args = arguments,
                  environment, bp::posix::fd.bind(STDIN_FILENO, in.reader.get()),
                  bp::posix::fd.bind(STDOUT_FILENO, out.writer.get()),
                  bp::posix::fd.bind(STDERR_FILENO, err.writer.get()),
                  bp::extend::on_exec_setup([parent, kept](auto& /*executor*/) {
                    prepare_child(parent);
                    mark_descriptors_close_on_exec();
                    if (kept >= 0) fcntl(kept, F_SETFD, 0);
                  }),
                  // Boost.Process does not wait for a child that could not become its tool.
                  bp::extend::on_error([](auto& executor, const std::error_code& /*why*/) {
                    if (executor.pid > 0) base::wait_for_end(executor.pid);
                  }),
                  failed);
  if (failed) {
    throw Error(ErrorCode::Internal,
                fmt::format("cannot start {}: {}; is it installed in the agent's image?",
                            command.argv.front(), failed.message()));
  }
  // Waited for here, since its wait_for needs SIGCHLD, which is the whole program's.
  const pid_t pid = child.id();
  child.detach();
  return pid;
}

// One run of one tool.
class Run {
 public:
  Run(const Command& command, HungTools& hung) : command_(command), hung_(hung) {
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    Pipe report;
    if (!command.report_variable.empty()) report = make_pipe();
    pid_ = spawn(command, in, out, err, report);
    in_ = std::move(in.writer);
    out_ = std::move(out.reader);
    err_ = std::move(err.reader);
    report_ = std::move(report.reader);
    for (const base::Descriptor* end : {&in_, &out_, &err_, &report_}) {
      if (end->is_open()) make_nonblocking(*end);
    }
    if (command.input.empty()) in_.reset();
  }

  Output finish() {
    milliseconds pause = kShortestTick;
    while (!has_ended()) {
      if (exchange(next_timeout(pause))) {
        last_progress_ = Clock::now();
        idle_from_ticks_ = cpu_ticks_;
        pause = kShortestTick;
      } else if (is_stalled()) {
        stop("made no progress for " + to_text(command_.stall_limit));
      } else if (computed() >= kComputingLimits * command_.stall_limit) {
        stop(fmt::format("has used {} of CPU time without reading or writing anything",
                         to_text(kComputingLimits * command_.stall_limit)));
      }
      if (has_too_much()) {
        stop(fmt::format("printed more than {} bytes", kMaxOutput), ErrorCode::Internal);
      }
    }
    // What it wrote before it ended is in the pipes already. Whoever else holds them is not waited
    // for.
    while (exchange(milliseconds(0)) && !has_too_much()) {
    }
    output_.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started_);
    return std::move(output_);
  }

 private:
  bool has_too_much() const {
    return output_.out.size() + output_.err.size() + output_.report.size() > kMaxOutput;
  }

  bool has_ended() {
    int status = 0;
    const pid_t waited = waitpid(pid_, &status, WNOHANG);
    if (waited == 0 || (waited < 0 && errno == EINTR)) return false;
    if (waited < 0) {
      throw Error(ErrorCode::Internal,
                  fmt::format("cannot wait for {}: {}", process::to_text(command_),
                              base::error_text(errno)));
    }
    output_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
  }

  // With the pipes closed there is no event to wait for: look often at first, a tool that closed
  // them is about to end.
  milliseconds next_timeout(milliseconds& pause) const {
    const milliseconds longest = std::clamp(command_.stall_limit / 4, kShortestTick, kTick);
    if (out_.is_open() || err_.is_open() || report_.is_open()) return longest;
    const milliseconds now = std::min(pause, longest);
    pause = std::min(pause * 2, longest);
    return now;
  }

  // Waits until a pipe is ready, then moves what can be moved. false: nothing was.
  bool exchange(milliseconds timeout) {
    std::array<pollfd, 4> waiting{{{.fd = in_.get(), .events = POLLOUT, .revents = 0},
                                   {.fd = out_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = err_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = report_.get(), .events = POLLIN, .revents = 0}}};
    if (poll(waiting.data(), waiting.size(), static_cast<int>(timeout.count())) <= 0) return false;
    bool moved = false;
    if (waiting[0].revents != 0) moved = feed();
    if (waiting[1].revents != 0) moved = drain(out_, output_.out) || moved;
    if (waiting[2].revents != 0) moved = drain(err_, output_.err) || moved;
    if (waiting[3].revents != 0) moved = drain(report_, output_.report) || moved;
    return moved;
  }

  bool feed() {
    const ssize_t count =
        write(in_.get(), command_.input.data() + fed_, command_.input.size() - fed_);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count > 0) fed_ += static_cast<std::size_t>(count);
    if (count < 0 || fed_ == command_.input.size()) in_.reset();
    return count > 0;
  }

  static bool drain(base::Descriptor& from, std::string& to) {
    std::array<char, 16384> buffer{};
    const ssize_t count = read(from.get(), buffer.data(), buffer.size());
    if (count > 0) {
      to.append(buffer.data(), static_cast<std::size_t>(count));
      return true;
    }
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) from.reset();
    return false;
  }

  // Looks through /proc only when the pipes were silent for a while, and a few times within the
  // limit.
  bool is_stalled() {
    const Clock::time_point now = Clock::now();
    if (now < next_look_ || now - last_progress_ < command_.stall_limit / 4) return false;
    next_look_ = now + command_.stall_limit / 4;
    const GroupState group = read_group(pid_);
    const bool moved = std::exchange(work_done_, group.work_done) != group.work_done;
    const bool computed = std::exchange(cpu_ticks_, group.cpu_ticks) != group.cpu_ticks;
    if (moved) idle_from_ticks_ = cpu_ticks_;
    if (moved || computed) last_progress_ = now;
    return now - last_progress_ >= command_.stall_limit;
  }

  // CPU time since the last byte was moved.
  milliseconds computed() const {
    static const auto ticks_per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
    const std::uint64_t ticks = cpu_ticks_ - std::min(cpu_ticks_, idle_from_ticks_);
    return milliseconds(ticks * 1000 / ticks_per_second);
  }

  // Ends the whole group and throws.
  [[noreturn]] void stop(const std::string& reason, ErrorCode code = ErrorCode::Unavailable) {
    killpg(pid_, SIGKILL);
    const Clock::time_point limit = Clock::now() + kKillLimit;
    bool ended = false;
    std::vector<pid_t> left;
    milliseconds pause = kShortestTick;
    for (;;) {
      ended = ended || has_ended();
      left = read_group(pid_).members;
      if (ended && left.empty()) break;
      if (Clock::now() >= limit) break;
      poll(nullptr, 0, static_cast<int>(pause.count()));
      pause = std::min(pause * 2, kTick);
    }
    if (!ended) abandon(pid_);
    const std::string what = fmt::format("{} {}", process::to_text(command_), reason);
    if (left.empty()) throw Error(code, what + " and was killed");
    hung_.add(command_.subject, pid_, process::to_text(command_));
    throw Error(
        ErrorCode::Unavailable,
        fmt::format("{} and cannot be killed: process {} hangs in the kernel{}; find out what the "
                    "device below it is waiting for, or reboot this node",
                    what, left.front(), where_it_hangs(left.front())));
  }

  const Command& command_;
  HungTools& hung_;
  pid_t pid_ = -1;
  base::Descriptor in_;
  base::Descriptor out_;
  base::Descriptor err_;
  base::Descriptor report_;
  Output output_;
  std::size_t fed_ = 0;
  std::uint64_t work_done_ = 0;
  std::uint64_t cpu_ticks_ = 0;
  std::uint64_t idle_from_ticks_ = 0;
  Clock::time_point started_ = Clock::now();
  Clock::time_point last_progress_ = started_;
  Clock::time_point next_look_ = started_;
};

}  // namespace

BoostRunner::BoostRunner() {
  signal(SIGPIPE, SIG_IGN);
}

Output BoostRunner::run(const Command& command) {
  if (command.argv.empty() || !command.argv.front().starts_with('/')) {
    throw Error(ErrorCode::Internal,
                "a tool must be called by its absolute path: " + process::to_text(command));
  }
  reap_abandoned();
  hung_.refuse(command.subject);
  return Run(command, hung_).finish();
}

}  // namespace plexvol::process
