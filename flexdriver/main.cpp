// One executable, three faces, told apart by the first argument: a FlexVolume call, DRBD's
// callback, a command for people. The first two are looked up in small tables before anything of
// the command line's library is touched: a kubelet starts this program thousands of times a day.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "flexdriver/call.h"
#include "flexdriver/commands/commands.h"
#include "flexdriver/fence_helper.h"
#include "flexdriver/reply.h"
#include "flexdriver/settings.h"
#include "flexdriver/trace.h"

namespace {

using namespace plexvol::driver;  // NOLINT(google-build-using-namespace)

constexpr const char* kTraceWord = "--trace";

// The kernel's callback and a careless caller may leave standard descriptors closed: a socket must
// not get their number.
void open_standard_descriptors() {
  int fd = ::open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR);
  if (fd >= 0) ::close(fd);
}

// Whatever our parent ignores or blocks: the kubelet ends a call by SIGTERM, and crashes when that
// does not work (contract fact 8). A reader that is gone must not end us, though: what was begun is
// finished.
void set_signals() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = SIG_DFL;
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD}) {
    ::sigaction(number, &action, nullptr);
  }
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // NOLINT(concurrency-mt-unsafe): one thread
}

bool is_trace_wanted(std::vector<std::string>& arguments) {
  const bool is_word = std::erase(arguments, kTraceWord) > 0;
  const char* variable = std::getenv("PLEXVOL_TRACE");  // NOLINT(concurrency-mt-unsafe): one thread
  return is_word || (variable != nullptr && std::strcmp(variable, "1") == 0);
}

int answer_call(const std::vector<std::string>& arguments, const Trace& trace) {
  const Settings settings = load_settings();
  if (!settings.problem.empty()) trace.note(settings.problem);
  const Reply reply =
      answer(arguments.front(), {arguments.begin() + 1, arguments.end()}, settings, trace);
  print(reply);
  return exit_status(reply);
}

int answer_drbd(const std::vector<std::string>& arguments, const Trace& trace) {
  const DrbdEvent event{.event = arguments[0],
                        .object = arguments.size() > 1 ? arguments[1] : "",
                        .environment = drbd_environment(environ)};
  return report_drbd_event(event, load_settings(), trace);
}

int run(int argc, char** argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const Trace trace(is_trace_wanted(arguments));
  const std::string word = arguments.empty() ? "" : arguments.front();
  if (is_call(word)) return answer_call(arguments, trace);
  if (is_drbd_event(word)) return answer_drbd(arguments, trace);
  if (is_command(word)) return run_command(argc, argv, trace);
  if (!drbd_environment(environ).empty()) return answer_drbd(arguments, trace);
  return answer_call(arguments, trace);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  set_signals();
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    // Out of memory, or worse: still one object, and still nothing on stderr.
    print({.status = Status::Failure, .message = error.what()});
  } catch (...) {
    print({.status = Status::Failure, .message = "an unknown error"});
  }
  return 1;
}
