// Running the host's tools. The one interface between this program and other programs, so that
// tests can answer for them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace plexvol::process {

struct Command {
  // argv[0] is an absolute path. Never a shell.
  std::vector<std::string> argv;
  std::string input;  // given on stdin, which is closed after it
  // The tool is ended when it makes no progress (no bytes read or written, no CPU time used, in its
  // whole process group) for this long. A tool that works on a large device may take hours. CPU
  // time alone counts as progress for ten times this long: a tool that spins is ended, too.
  std::chrono::milliseconds stall_limit{30'000};
  // An environment variable that tells the tool the number of one more descriptor, for what goes
  // into Output::report ("LVM_REPORT_FD"). "": the tool gets no such descriptor.
  std::string report_variable{};
  // What the tool works on ("volume group vg0"). While a tool with the same subject hangs in the
  // kernel and cannot be killed, no other one is started. "": no such limit.
  std::string subject{};
};

struct Output {
  int exit_code = 0;  // 128 + signal when a signal ended it
  std::string out;
  std::string err;
  std::chrono::microseconds took{0};
  std::string report{};  // see Command::report_variable
};

// "lvcreate --name v1 vg0" as a person would type it: the tool's name without its folder, arguments
// quoted where needed.
std::string to_text(const Command& command);
// What the tool said (stderr, or stdout when that is empty) as one line without secrets, for a
// message.
std::string said(const Output& output);
// The value after every "shared-secret" replaced by "...": drbdadm prints whole command lines when
// one of them fails.
std::string without_secrets(std::string text);

class Runner {
 public:
  virtual ~Runner() = default;
  // Returns when the tool has ended. The tool sees an environment of LC_ALL=C and PATH only, and no
  // descriptor but 0 to 2 (and that of the report). Throws Error(Internal) when it cannot be
  // started, and Error(Unavailable) when it stalled and its process group was killed (also when it
  // could not be killed: it then hangs in the kernel; the message says so), or when it was not
  // started since another one with its subject hangs.
  virtual Output run(const Command& command) = 0;
};

// Throws Error(Internal) with the command, its exit code and what it said unless it ended with 0.
Output run_checked(Runner& runner, const Command& command);

}  // namespace plexvol::process
