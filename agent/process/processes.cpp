#include "agent/process/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

[[noreturn]] void throw_unreadable(const std::string& path, int error) {
  throw Error(ErrorCode::Unavailable,
              fmt::format("cannot read {}: {}", path, base::error_text(error)));
}

bool means_gone(int error) {
  return error == ENOENT || error == ESRCH;
}

// nullopt: the folder is gone.
std::optional<std::vector<pid_t>> list_ids(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), &closedir);
  if (!folder) {
    if (means_gone(errno)) return std::nullopt;
    throw_unreadable(path, errno);
  }
  std::vector<pid_t> ids;
  for (;;) {
    errno = 0;
    // readdir is safe here: the stream is this thread's own.
    const dirent* entry = readdir(folder.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) {
      if (errno == 0 || means_gone(errno)) return ids;
      throw_unreadable(path, errno);
    }
    const std::string_view name(entry->d_name);
    pid_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error == std::errc{} && end == name.data() + name.size()) ids.push_back(id);
  }
}

// Of the files whose size the kernel bounds.
std::string read_small(const std::string& path) {
  std::string text;
  read_process_file(path, [&](std::string_view piece) { text += piece; });
  return text;
}

// `folder` is /proc/<pid>/task/<tid>.
bool is_thread_doomed(const std::string& folder) {
  const std::string status = read_small(folder + "/status");
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
  // Newer kernels drop signals for a thread that is exiting already.
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING
  const auto stat = parse_stat(read_small(folder + "/stat"));
  return stat && (stat->flags & kExiting) != 0;
}

}  // namespace

std::vector<pid_t> list_all_processes(const std::string& proc) {
  auto ids = list_ids(proc);
  if (!ids || ids->empty()) {
    throw Error(ErrorCode::Unavailable, proc + " shows no processes; is it mounted?");
  }
  return *ids;
}

bool read_process_file(const std::string& path, const std::function<void(std::string_view)>& take) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (means_gone(errno)) return false;
    throw_unreadable(path, errno);
  }
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count == 0) return true;
    if (count > 0) {
      take({buffer.data(), static_cast<std::size_t>(count)});
    } else if (means_gone(errno)) {
      return false;
    } else if (errno != EINTR) {
      throw_unreadable(path, errno);
    }
  }
}

bool is_doomed(pid_t pid, const std::string& proc) {
  const std::string tasks = proc + "/" + std::to_string(pid) + "/task";
  const auto threads = list_ids(tasks);
  return !threads || std::all_of(threads->begin(), threads->end(), [&](pid_t thread) {
    return is_thread_doomed(tasks + "/" + std::to_string(thread));
  });
}

}  // namespace plexvol::process
