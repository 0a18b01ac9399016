// Reads /proc for decisions. As in proc.h, a process that has ended reads as nothing. Any other
// failure throws, so that "no descriptors left" never reads as "nobody uses it": Unavailable when
// descriptors or memory run out, else Internal.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace plexvol::process::strict {

// The first `most` bytes of the file; nullopt when it no longer exists.
std::optional<std::string> read_text_file(const std::string& path, std::size_t most = 65536);
// nullopt when it does not exist (a kernel thread has no executable).
std::optional<std::string> read_link(const std::string& path);
// Shows the numbers among the names in a folder, until the visitor answers false.
void for_each_number(const std::string& folder, const std::function<bool(int)>& visit);

struct Process {
  pid_t pid = 0;
  std::uint64_t start_time = 0;
};
// A process whose first thread has ended is listed by another of its threads, as
// process::list_processes() does.
std::vector<Process> list_processes();

}  // namespace plexvol::process::strict
