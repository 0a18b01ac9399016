#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace {

// The agent must be able to look at every process. Where process 1 may do more than the tests, as
// in some containers, they bring a process 1 along, which goes with them.
bool may_look_at_process_1() {
  std::array<char, 64> text{};
  return readlink("/proc/1/ns/mnt", text.data(), text.size()) > 0;
}

int exit_code_of(pid_t child) {
  int status = 0;
  while (true) {
    const pid_t ended = wait(&status);  // process 1 has orphans to reap
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    if (ended < 0 && errno != EINTR) return 1;
  }
}

// Returns in the process that is to run the tests only.
void enter_own_process_namespace() {
  if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return;
  const pid_t init = fork();
  if (init != 0) _exit(init < 0 ? 1 : exit_code_of(init));
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    _exit(1);
  }
  const pid_t tests = fork();
  if (tests != 0) _exit(tests < 0 ? 1 : exit_code_of(tests));
}

}  // namespace

int main(int count, char** arguments) {
  if (geteuid() == 0 && !may_look_at_process_1()) enter_own_process_namespace();
  return doctest::Context(count, arguments).run();
}
