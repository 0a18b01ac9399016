#include <signal.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <thread>

#include "agent/api/error.h"
#include "agent/filesystem/mount_table.h"
#include "agent/process/proc.h"

namespace plexvol::filesystem {

namespace {

constexpr std::chrono::seconds kLimit{10};
constexpr std::chrono::milliseconds kPause{20};

// From /proc/<pid>/task/<tid>/status: it is over, or takes SIGKILL as soon as it leaves the kernel.
bool is_doomed(const std::string& status) {
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
  return has_kill(value_of("SigPnd")) || has_kill(value_of("ShdPnd"));
}

bool is_doomed(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    if (!is_doomed(process::read_text_file(task.path().string() + "/status"))) return false;
  }
  return true;
}

}  // namespace

void kill_users(unsigned major, unsigned minor) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (true) {
    std::string alive;
    for (const User& user : find_use(major, minor).users) {
      if (user.pid == 0) {
        throw Error(ErrorCode::Conflict,
                    "the kernel itself uses the device (" + user.what +
                        "), which cannot be ended from outside: reboot this node");
      }
      if (is_doomed(user.pid)) continue;
      kill(user.pid, SIGKILL);
      alive += " " + std::to_string(user.pid) + " (" + user.command + ")";
    }
    if (alive.empty()) return;
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorCode::Unavailable, "SIGKILL does not end the processes" + alive);
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace plexvol::filesystem
