#include "agent/process/kill.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "agent/process/proc.h"
#include "tests/support/namespace_child.h"

using plexvol::process::kill_process;
using plexvol::process::kill_process_by_pid;
using plexvol::support::NamespaceChild;

namespace {

std::uint64_t start_of(pid_t pid) {
  const auto text = plexvol::process::read_text_file("/proc/" + std::to_string(pid) + "/stat");
  return plexvol::process::parse_stat(text).value().start_time;
}

bool has_ended(pid_t pid, int options) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | options) == 0 &&
         info.si_pid == pid;
}

}  // namespace

TEST_CASE("a process is killed, and no other one that has got its pid since [D16]") {
  for (const auto& kill : {kill_process, kill_process_by_pid}) {
    const NamespaceChild child(MS_SLAVE);
    const std::uint64_t start = start_of(child.pid());
    REQUIRE(start > 0);
    CHECK_FALSE(kill(child.pid(), start - 1));
    CHECK_FALSE(has_ended(child.pid(), WNOHANG));
    CHECK(kill(child.pid(), start));
    CHECK(has_ended(child.pid(), 0));
  }
}

TEST_CASE("a process that is gone cannot be killed, which is no error") {
  CHECK_FALSE(kill_process(4'194'304, 1));
  CHECK_FALSE(kill_process_by_pid(4'194'304, 1));
}
