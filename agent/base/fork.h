// Child processes: what all of ours have in common. What they do with descriptors, signals and their
// parent's end differs, since some have to hold on to what others must not have, and is with them:
// mounts/child.h, process/child.h, drbd/event_watch.cpp, flexdriver/install/init_check.cpp.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

#include "agent/base/descriptor.h"

namespace plexvol::base {

// Runs `work` in a child, which ends with what it returns, without destructors and exit handlers.
// Answers its id; -1: there can be none, and errno says why. In a program with threads `work` makes
// system calls only.
pid_t fork_child(const std::function<int()>& work);

// Of a child that has ended or surely will. Its status as waitpid(2) tells it; nullopt: it was
// waited for already.
std::optional<int> wait_for_end(pid_t child);

// Closed by the next exec.
struct Pipe {
  Descriptor read_end;
  Descriptor write_end;
};
// nullopt: errno says why.
std::optional<Pipe> make_pipe();

}  // namespace plexvol::base
