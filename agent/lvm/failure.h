// What lvm's messages mean. Its exit code is the same (5) for all that goes wrong, so its words
// decide, in the locale C.
#pragma once

#include <string>

#include "agent/process/runner.h"

namespace plexvol::lvm {

bool misses_group(const process::Output& output);
bool misses_volume(const process::Output& output);
// The filter that it was called with is older than the group's physical volumes.
bool misses_device(const process::Output& output);
bool is_in_use(const process::Output& output);

// "TRIED failed: exit code 5: what lvm said", with the code that its words mean, and with what to do
// where they do not tell.
[[noreturn]] void throw_failed(const std::string& tried, const process::Output& output);

}  // namespace plexvol::lvm
