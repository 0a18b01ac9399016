// Looking into /proc. Processes vanish at any moment: what is gone reads as empty.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plexvol::process {

// "/proc/<pid>/<file>".
std::string path_of(pid_t pid, std::string_view file);

// The whole file, "" when it cannot be read.
std::string read_text_file(const std::string& path);
// "" when it is no link or cannot be read.
std::string read_link(const std::string& path);

// One whose first thread has ended while others go on is named by one of those: the first one shows
// neither files nor signals any more.
std::vector<pid_t> list_processes();
std::vector<int> list_descriptors(pid_t pid);
std::string command_of(pid_t pid);  // comm

struct Stat {
  char state = '?';
  pid_t group = 0;
  std::uint64_t flags = 0;       // the kernel's PF_...
  std::uint64_t cpu_ticks = 0;   // user and system, with those of the children that were waited for
  std::uint64_t start_time = 0;  // since boot: with the pid it names a process for good
};
// Pure. From /proc/<pid>/stat; nullopt when it is none.
std::optional<Stat> parse_stat(std::string_view text);
// Any thread of it sleeps uninterruptibly: what takes its memory map's lock may hang with it.
bool hangs_in_kernel(pid_t pid);

struct GroupState {
  std::vector<pid_t> members;  // but for zombies
  // Grows with the bytes read and written; changes when members come and go.
  std::uint64_t work_done = 0;
  std::uint64_t cpu_ticks = 0;
};
GroupState read_group(pid_t group);

}  // namespace plexvol::process
