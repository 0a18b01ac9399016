#include "agent/process/proc.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <memory>
#include <system_error>

#include "agent/base/files.h"

namespace plexvol::process {

namespace {

// The numbers among the names in a folder.
std::vector<int> list_numbers(const std::string& path) {
  std::vector<int> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), &closedir);
  if (!folder) return numbers;
  // readdir is safe here: the stream is this thread's own.
  while (const dirent* entry = readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string_view name(entry->d_name);
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size()) numbers.push_back(number);
  }
  return numbers;
}

// The sum of the counters in /proc/<pid>/io.
std::uint64_t io_bytes(pid_t pid) {
  const std::string text = read_text_file(path_of(pid, "io"));
  std::uint64_t sum = 0;
  for (std::size_t at = text.find(": "); at != std::string::npos; at = text.find(": ", at + 1)) {
    std::uint64_t number = 0;
    std::from_chars(text.data() + at + 2, text.data() + text.size(), number);
    sum += number;
  }
  return sum;
}

}  // namespace

std::string path_of(pid_t pid, std::string_view file) {
  return "/proc/" + std::to_string(pid) + "/" + std::string(file);
}

std::string read_text_file(const std::string& path) {
  return base::read_file(path).value_or("");
}

std::string read_link(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t count = readlink(path.c_str(), buffer.data(), buffer.size());
  return count < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(count));
}

std::vector<pid_t> list_processes() {
  std::vector<pid_t> pids = list_numbers("/proc");
  for (pid_t& pid : pids) {
    const auto first = parse_stat(read_text_file(path_of(pid, "stat")));
    if (!first || first->state != 'Z') continue;
    for (const int thread : list_numbers(path_of(pid, "task"))) {
      if (thread != pid) pid = thread;
    }
  }
  return pids;
}

std::vector<int> list_descriptors(pid_t pid) {
  return list_numbers(path_of(pid, "fd"));
}

std::string command_of(pid_t pid) {
  std::string text = read_text_file(path_of(pid, "comm"));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::optional<Stat> parse_stat(std::string_view text) {
  // The command stands in parentheses and may hold blanks and parentheses itself.
  const std::size_t command_end = text.rfind(") ");
  if (command_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(command_end + 2);
  Stat stat;
  constexpr int kStartTime = 22;
  for (int field = 3; field <= kStartTime; ++field) {
    const std::size_t length = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, length);
    if (word.empty()) return std::nullopt;
    std::int64_t number = 0;
    std::from_chars(word.data(), word.data() + word.size(), number);
    if (field == 3) stat.state = word.front();
    if (field == 5) stat.group = static_cast<pid_t>(number);
    if (field == 9) stat.flags = static_cast<std::uint64_t>(number);
    if (field == kStartTime) stat.start_time = static_cast<std::uint64_t>(number);
    if (field >= 14 && field <= 17) stat.cpu_ticks += static_cast<std::uint64_t>(number);
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return stat;
}

bool hangs_in_kernel(pid_t pid) {
  const std::string tasks = path_of(pid, "task");
  for (const int thread : list_numbers(tasks)) {
    const auto stat = parse_stat(read_text_file(tasks + "/" + std::to_string(thread) + "/stat"));
    if (stat && stat->state == 'D') return true;
  }
  return false;
}

GroupState read_group(pid_t group) {
  GroupState state;
  for (const pid_t pid : list_processes()) {
    const auto stat = parse_stat(read_text_file(path_of(pid, "stat")));
    if (!stat || stat->group != group || stat->state == 'Z') continue;
    state.members.push_back(pid);
    state.work_done += static_cast<std::uint64_t>(pid) + io_bytes(pid);
    state.cpu_ticks += stat->cpu_ticks;
  }
  return state;
}

}  // namespace plexvol::process
