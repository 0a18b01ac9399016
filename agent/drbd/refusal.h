// What drbdsetup and drbdadm say when they fail, made into one Error for a person. Pure.
#pragma once

#include <optional>
#include <string>

#include "agent/api/error.h"
#include "agent/process/runner.h"

namespace plexvol::drbd {

// "1000: State change failed: (-12) Device is held open by someone": numbers below zero are refused
// changes of state, those above 100 refused requests (drbd.h of the kernel: enum drbd_state_rv,
// enum drbd_ret_code).
struct KernelAnswer {
  int number = 0;
  std::string words;
};
std::optional<KernelAnswer> parse_kernel_answer(const std::string& text);

// Both streams as one line, without the shared secret (drbdadm prints the whole command that
// failed).
std::string tool_words(const process::Output& output);

// `what`: "promote v1 to primary". Conflict when the kernel refuses what the world forbids now,
// Unavailable when it asks to be asked again, Internal otherwise.
Error to_error(const std::string& what, const process::Output& output);

}  // namespace plexvol::drbd
