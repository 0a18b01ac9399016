#include <fcntl.h>
#include <signal.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "agent/api/error.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/descriptor.h"
#include "agent/process/proc.h"

namespace plexvol::filesystem {

namespace {

constexpr std::chrono::seconds kLimit{10};
constexpr std::chrono::milliseconds kPause{20};

// Nothing of /proc may read as empty only because this program has no descriptor left: then nobody
// would be found.
void require_descriptors() {
  std::array<process::Descriptor, 16> spare;
  for (process::Descriptor& one : spare) {
    one = process::Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!one.is_open()) {
      throw Error(ErrorCode::Unavailable,
                  std::string("cannot look for the users of a device: ") + strerrordesc_np(errno));
    }
  }
}

// From /proc/<pid>/task/<tid>/{status,stat}: it is over or on its way out, or takes SIGKILL as soon
// as it leaves the kernel.
bool is_doomed(const std::string& folder) {
  const std::string status = process::read_text_file(folder + "/status");
  const auto value_of = [&](const std::string& key) {
    const std::size_t at = status.find("\n" + key + ":\t");
    return at == std::string::npos ? std::string_view{}
                                   : std::string_view(status).substr(at + key.size() + 3);
  };
  const std::string_view state = value_of("State");
  if (status.empty() || state.starts_with('Z') || state.starts_with('X')) return true;
  const auto has_kill = [](std::string_view mask) {
    std::uint64_t bits = 0;
    std::from_chars(mask.data(), mask.data() + mask.size(), bits, 16);
    return (bits >> (SIGKILL - 1) & 1U) != 0;
  };
  if (has_kill(value_of("SigPnd")) || has_kill(value_of("ShdPnd"))) return true;
  // Newer kernels drop signals for who is exiting already.
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING
  const auto stat = process::parse_stat(process::read_text_file(folder + "/stat"));
  return stat && (stat->flags & kExiting) != 0;
}

bool is_doomed(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    if (!is_doomed(task.path().string())) return false;
  }
  return true;
}

// Those that were not, and have been sent the signal; "" when there was nobody.
std::string kill_living(unsigned major, unsigned minor) {
  std::string living;
  require_descriptors();
  for (const User& user : find_use(major, minor).users) {
    if (user.pid == 0) {
      throw Error(ErrorCode::Conflict,
                  "the kernel itself uses the device (" + user.what +
                      "), which cannot be ended from outside: reboot this node");
    }
    if (is_doomed(user.pid)) continue;
    kill(user.pid, SIGKILL);
    living.append(" ").append(std::to_string(user.pid)).append(" (").append(user.command);
    living += ')';
  }
  require_descriptors();
  return living;
}

}  // namespace

void kill_users(unsigned major, unsigned minor) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  // Twice in a row nobody: a child that was made during the first look is found by the second.
  int quiet = 0;
  while (quiet < 2) {
    const std::string living = kill_living(major, minor);
    quiet = living.empty() ? quiet + 1 : 0;
    if (living.empty()) continue;
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorCode::Unavailable, "SIGKILL does not end the processes" + living);
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace plexvol::filesystem
