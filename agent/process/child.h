// What happens between fork and exec, or in a child that never execs; and children that do not end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace plexvol::process {

// The following two make system calls only: they may be called in the child of a program with
// threads.

// Every descriptor but 0 to 2 is closed by the next exec. Needed although ours are all made
// close-on-exec, since libraries' may not be; works on kernels without close_range(2), whatever the
// limit of open files is.
void mark_descriptors_close_on_exec();
// The same the slow way, for kernels without close_range(2).
void mark_listed_descriptors_close_on_exec();
// No blocked or ignored signals, a process group of its own, and SIGKILL when the parent's thread
// or the parent ends: a tool that outlived its agent would work against the next agent. `parent` is
// the process that forked.
void prepare_child(pid_t parent);

// Runs `work`, which makes system calls only, in a child without any of our descriptors but 0 to 2,
// and returns what it returned (0 to 127). nullopt: it did not end within the limit, or died;
// SIGKILL is on its way to it. While a child with the same `subject` (a device, a mount point)
// still hangs in the kernel, nullopt at once: the next one would hang beside it. "": no such limit.
std::optional<int> run_in_child(const std::function<int()>& work, std::chrono::milliseconds limit,
                                const std::string& subject = "");

// Looks at `count` things, one after another, in children that may hang without us. `look` makes
// system calls only and returns 0 to 127. nullopt for a thing at which a child made no step within
// the limit, or died; the next child goes on behind it. After four of them nothing more is looked
// at, and the rest is nullopt, too.
std::vector<std::optional<int>> look_in_children(std::size_t count,
                                                 const std::function<int(std::size_t)>& look,
                                                 std::chrono::milliseconds limit);

// A killed child that hangs in the kernel: waited for by reap_abandoned() whenever it may end.
void abandon(pid_t child, const std::string& subject = "");
void reap_abandoned();

}  // namespace plexvol::process
