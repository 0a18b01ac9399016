#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

namespace plexvol::support {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& argv,
                           const std::vector<std::string>& environment) {
  const std::vector<char*> arguments = pointers(argv);
  const std::vector<char*> variables = pointers(environment);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::execve(arguments[0], arguments.data(), variables.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  pipe_ = ends[0];
}

ChildProcess::~ChildProcess() {
  kill();
  ::close(pipe_);
}

void ChildProcess::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

void ChildProcess::stop() const {
  signal(SIGSTOP);
  siginfo_t info{};
  while (pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED) < 0 &&
         errno == EINTR) {
  }
}

void ChildProcess::kill() {
  signal(SIGKILL);
  wait();
}

int ChildProcess::wait() {
  if (pid_ > 0) {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    pid_ = -1;
  }
  return exit_code_;
}

bool ChildProcess::read_until(const std::string& text, std::chrono::milliseconds patience) {
  std::size_t searched = 0;
  while (true) {
    if (output_.find(text, searched) != std::string::npos) return true;
    searched = output_.size() < text.size() ? 0 : output_.size() - text.size();
    if (!read_more(patience)) return false;
  }
}

void ChildProcess::read_to_end() {
  while (read_more(std::chrono::milliseconds(-1))) {
  }
}

bool ChildProcess::read_more(std::chrono::milliseconds patience) {
  pollfd wanted{.fd = pipe_, .events = POLLIN, .revents = 0};
  if (::poll(&wanted, 1, static_cast<int>(patience.count())) <= 0) return false;
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(pipe_, buffer.data(), buffer.size());
  if (count <= 0) return false;
  output_.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

std::string run_tool(const std::vector<std::string>& argv,
                     const std::vector<std::string>& environment) {
  ChildProcess tool(argv, environment);
  tool.read_to_end();
  if (tool.wait() != 0) throw std::runtime_error(argv.front() + " failed: " + tool.output());
  return tool.output();
}

ChildProcess run_own_test(const std::string& test_name,
                          const std::vector<std::string>& environment) {
  return ChildProcess({"/proc/self/exe", "--test-case=" + test_name, "--no-skip", "--minimal"},
                      environment);
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes it
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

}  // namespace plexvol::support
