#include "agent/process/strict_proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/process/proc.h"

namespace plexvol::process::strict {

namespace {

bool has_gone(int error) {
  return error == ENOENT || error == ESRCH;
}

[[noreturn]] void throw_unreadable(const std::string& path, int error) {
  const bool is_short = error == EMFILE || error == ENFILE || error == ENOMEM;
  throw Error(is_short ? ErrorCode::Unavailable : ErrorCode::Internal,
              fmt::format("{}: cannot be read ({}), so the users of a volume cannot be found{}",
                          path, base::error_text(error),
                          is_short ? "" : "; run the agent as root and privileged"));
}

std::optional<Stat> stat_of(const std::string& path) {
  const auto text = read_text_file(path);
  return text ? parse_stat(*text) : std::nullopt;
}

}  // namespace

std::optional<std::string> read_text_file(const std::string& path, std::size_t most) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (has_gone(errno)) return std::nullopt;
    throw_unreadable(path, errno);
  }
  auto text = base::read_from_start(file.get(), most);
  if (!text && !has_gone(errno)) throw_unreadable(path, errno);
  return text;
}

std::optional<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t count = readlink(path.c_str(), buffer.data(), buffer.size());
  if (count >= 0) return std::string(buffer.data(), static_cast<std::size_t>(count));
  if (has_gone(errno)) return std::nullopt;
  throw_unreadable(path, errno);
}

void for_each_number(const std::string& folder, const std::function<bool(int)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(folder.c_str()), &closedir);
  if (!stream) {
    if (has_gone(errno)) return;
    throw_unreadable(folder, errno);
  }
  while (true) {
    errno = 0;
    // readdir is safe here: the stream is this thread's own.
    const dirent* entry = readdir(stream.get());  // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) {
      if (errno != 0 && !has_gone(errno)) throw_unreadable(folder, errno);
      return;
    }
    const std::string_view name(entry->d_name);
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool is_number = error == std::errc{} && end == name.data() + name.size();
    if (is_number && !visit(number)) return;
  }
}

std::vector<Process> list_processes() {
  std::vector<Process> processes;
  for_each_number("/proc", [&](int pid) {
    auto stat = stat_of(path_of(pid, "stat"));
    Process found{.pid = pid, .start_time = stat ? stat->start_time : 0};
    if (stat && stat->state == 'Z') {
      for_each_number(path_of(pid, "task"), [&](int thread) {
        if (thread != pid) found.pid = thread;
        return thread == pid;
      });
      if (found.pid != pid) stat = stat_of(path_of(found.pid, "stat"));
      if (stat) found.start_time = stat->start_time;
    }
    if (stat) processes.push_back(found);
    return true;
  });
  return processes;
}

}  // namespace plexvol::process::strict
