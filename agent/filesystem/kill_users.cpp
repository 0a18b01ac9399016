#include "agent/filesystem/kill_users.h"

#include <fmt/core.h>

#include <chrono>
#include <string>
#include <thread>

#include "agent/api/error.h"
#include "agent/filesystem/find_use.h"
#include "agent/process/kill.h"
#include "agent/process/processes.h"

namespace plexvol::filesystem {

namespace {

constexpr std::chrono::seconds kKillLimit{10};
// A loop device or an overlay goes a moment after the last process that kept it.
constexpr std::chrono::seconds kKernelLimit{2};
constexpr std::chrono::milliseconds kPause{20};

struct Left {
  std::string processes;  // that were not doomed, and have been sent the signal
  std::string kernel;     // what no signal ends
};

Left kill_living(unsigned major, unsigned minor) {
  constexpr std::size_t kMostText = 1000;
  Left left;
  for (const User& user : find_use(major, minor).users) {
    if (user.pid == 0) {
      if (left.kernel.size() < kMostText)
        left.kernel += (left.kernel.empty() ? "" : "; ") + user.what;
      continue;
    }
    if (process::is_doomed(user.pid) || !process::kill_process(user.pid, user.start_time)) continue;
    if (left.processes.size() > kMostText) continue;
    left.processes += fmt::format(" {} ({})", user.pid, user.command);
  }
  return left;
}

}  // namespace

void kill_users(unsigned major, unsigned minor) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + kKillLimit;
  auto kernel_deadline = Clock::now() + kKernelLimit;
  // Twice in a row nobody: a child that was made during the first look is found by the second.
  for (int quiet = 0; quiet < 2;) {
    const Left left = kill_living(major, minor);
    if (left.processes.empty() && left.kernel.empty()) {
      ++quiet;
      continue;
    }
    quiet = 0;
    if (!left.processes.empty()) {
      kernel_deadline = Clock::now() + kKernelLimit;
      if (Clock::now() > deadline) {
        throw Error(ErrorCode::Unavailable,
                    "processes still running after SIGKILL:" + left.processes);
      }
    } else if (Clock::now() > kernel_deadline) {
      throw Error(ErrorCode::Conflict,
                  fmt::format("device {}:{}: still in use by the kernel after its processes were "
                              "killed: it {}; unmount or detach that, or reboot this node",
                              major, minor, left.kernel));
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace plexvol::filesystem
