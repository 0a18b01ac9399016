#include "agent/process/kill.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/process/proc.h"
#include "agent/process/strict_proc.h"

namespace plexvol::process {

namespace {

bool is_still(pid_t pid, std::uint64_t start_time) {
  const auto text = strict::read_text_file(path_of(pid, "stat"));
  const auto stat = text ? parse_stat(*text) : std::nullopt;
  return stat && stat->start_time == start_time;
}

// True: it was sent.
bool was_sent(pid_t pid, long result) {
  if (result == 0) return true;
  if (errno == ESRCH) return false;
  throw Error(ErrorCode::Internal,
              fmt::format("cannot kill process {}: {}", pid, base::error_text(errno)));
}

}  // namespace

bool kill_process(pid_t pid, std::uint64_t start_time) {
  const base::Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.is_open()) {
    if (errno == ESRCH) return false;
    // An older kernel, or a thread that is not its process's first one.
    if (errno == ENOSYS || errno == EINVAL || errno == ENOENT || errno == EPERM) {
      return kill_process_by_pid(pid, start_time);
    }
    throw Error(ErrorCode::Unavailable,
                fmt::format("cannot kill process {}: {}", pid, base::error_text(errno)));
  }
  // The descriptor stays with the process: if it is the right one now, the signal reaches the right
  // one.
  if (!is_still(pid, start_time)) return false;
  return was_sent(pid, syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0));
}

bool kill_process_by_pid(pid_t pid, std::uint64_t start_time) {
  return is_still(pid, start_time) && was_sent(pid, kill(pid, SIGKILL));
}

}  // namespace plexvol::process
