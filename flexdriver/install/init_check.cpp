#include "flexdriver/install/init_check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/deadline.h"
#include "agent/base/files.h"
#include "agent/base/fork.h"

namespace plexvol::driver {

namespace {

constexpr auto kInitLimit = std::chrono::seconds(10);
constexpr std::size_t kMostReplyBytes = 64UL * 1024;

int execute(int program, const std::string& path) {
  std::string name = path;
  std::string word = "init";
  std::array<char*, 3> arguments{name.data(), word.data(), nullptr};
  ::fcntl(program, F_SETFD, 0);  // a script's interpreter opens it once more
  ::fexecve(program, arguments.data(), environ);
  ::dprintf(STDERR_FILENO, "%s", base::error_text(errno).c_str());
  return 127;
}

// The reply of `PATH init`, both streams, as a kubelet reads it.
std::string run_init(int program, const std::string& path) {
  auto pipe = base::make_pipe();
  if (!pipe) fail("make a pipe for", path);
  const pid_t child = base::fork_child([&] {
    ::dup2(pipe->write_end.get(), STDOUT_FILENO);
    ::dup2(pipe->write_end.get(), STDERR_FILENO);
    return execute(program, path);
  });
  if (child < 0) fail("start", path);
  pipe->write_end.reset();
  std::string text;
  const base::Deadline deadline = base::Clock::now() + kInitLimit;
  std::array<char, 4096> part{};
  pollfd waiting{.fd = pipe->read_end.get(), .events = POLLIN, .revents = 0};
  while (text.size() < kMostReplyBytes && ::poll(&waiting, 1, base::poll_timeout(deadline)) > 0) {
    const ssize_t count = ::read(pipe->read_end.get(), part.data(), part.size());
    if (count <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(count));
  }
  ::kill(child, SIGKILL);  // no matter when it has ended
  base::wait_for_end(child);
  return text;
}

}  // namespace

void require_init(const base::Descriptor& program, const std::string& path) {
  const std::string said = run_init(program.get(), path);
  const nlohmann::json reply = nlohmann::json::parse(said, nullptr, false);
  if (reply.is_object() && reply.value("status", "") == "Success") return;
  throw Error(ErrorCode::Internal,
              path + " init does not answer Success but \"" + one_line(said, 200) +
                  "\"; is its file system mounted noexec? What was there before stays");
}

void require_init(const TrustedDir& folder, const std::string& name) {
  const auto program = folder.open_file(name);
  if (!program) {
    throw Error(ErrorCode::NotFound, folder.path_of(name) + ": there is no such file");
  }
  require_init(*program, folder.path_of(name));
}

}  // namespace plexvol::driver
