// Looking into /proc where a failure to look must not read as "nobody is there".
//
// Processes that end meanwhile are no failure. Everything else that keeps a file from being read
// (no descriptor left, no permission, no memory) throws Error(Unavailable).
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace plexvol::process {

// The process ids that `proc` lists. Throws also when it lists none: then it is no /proc.
std::vector<pid_t> list_all_processes(const std::string& proc = "/proc");

// Passes the file on in pieces of bounded size. False: the process is gone.
bool read_process_file(const std::string& path, const std::function<void(std::string_view)>& take);

// Every thread of the process is over, on its way out, or has SIGKILL pending: it never runs its
// own code again. True also when the process is gone.
bool is_doomed(pid_t pid, const std::string& proc = "/proc");

}  // namespace plexvol::process
