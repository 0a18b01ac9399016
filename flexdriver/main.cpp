// Who is calling? A kubelet or a controller-manager, the kernel's DRBD, or a person.
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "flexdriver/call.h"
#include "flexdriver/commands/commands.h"
#include "flexdriver/fence_helper.h"

extern char** environ;

namespace {

// Callers may hand down a mask or ignored signals; this program must end at once on SIGTERM (contract fact 8), and a reader
// that is gone must not end it in the middle of a mount.
void reset_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) std::signal(number, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);
}

bool take_trace(std::vector<std::string>& arguments) {
  const char* variable = std::getenv("PLEXVOL_TRACE");  // NOLINT(concurrency-mt-unsafe): one thread
  bool wanted = variable != nullptr && std::string(variable) == "1";
  if (std::erase(arguments, "--trace") > 0) wanted = true;
  return wanted;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace plexvol::driver;  // NOLINT(google-build-using-namespace)
  reset_signals();
  std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (is_person_command(first)) return run_person_command(argc, argv);

  const Trace trace(take_trace(arguments));
  const Settings settings = load_settings();
  if (!settings.problem.empty()) trace.note(settings.problem);
  const auto drbd = drbd_environment(environ);
  if (!is_flexvolume_call(first) && (is_drbd_event(first) || !drbd.empty())) {
    return report_drbd_event(
        {.event = first, .object = arguments.size() > 1 ? arguments[1] : "", .environment = drbd},
        settings, trace);
  }
  const Reply reply = make_call(arguments, settings, trace);
  print(reply);
  return exit_status(reply);
}
