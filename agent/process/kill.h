#pragma once

#include <sys/types.h>

#include <cstdint>

namespace plexvol::process {

// SIGKILL for the process that had this pid and start time (Stat::start_time), never for another
// one that has got its pid since. False: it has ended. `pid` may be that of any of its threads.
// Throws as strict_proc.h says, and Internal when it may not be killed.
bool kill_process(pid_t pid, std::uint64_t start_time);
// The same in the way of kernels before 5.3, where a process may end between the look and the
// signal.
bool kill_process_by_pid(pid_t pid, std::uint64_t start_time);

}  // namespace plexvol::process
