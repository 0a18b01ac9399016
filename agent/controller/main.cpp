// Waits to become the leader, leads, and ends when it no longer does: the next one starts from what
// there is.
#include <signal.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stop_token>
#include <thread>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/controller/agent_watch.h"
#include "agent/controller/controller.h"
#include "agent/controller/settings.h"
#include "agent/kube/election.h"
#include "agent/log.h"

namespace {

using namespace plexvol;  // NOLINT(google-build-using-namespace): wiring names everything once

// Leases of CSI's own sidecars are named after their driver in the same way.
constexpr const char* kLock = "plexvol.io-flexvolume";

// Blocked before any thread is started, so that only the thread below ever sees them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Whatever calls are under way then: each can be repeated by the next leader.
void end_soon() {
  std::this_thread::sleep_for(std::chrono::seconds(5));
  std::_Exit(1);
}

int run(const controller::Settings& settings) {
  const sigset_t signals = block_signals();
  std::stop_source stop;
  std::thread([signals, stop]() mutable {
    int signal = 0;
    sigwait(&signals, &signal);
    stop.request_stop();
    end_soon();
  }).detach();

  kube::Client client(settings.server);
  const controller::NodeAgent agent(settings.agent_socket);
  const controller::AgentPulse pulse(agent);
  log::info("plexvol-controller " PLEXVOL_VERSION " starts as " + settings.identity);
  kube::Election election(client, {.ns = settings.ns,
                                   .name = kLock,
                                   .identity = settings.identity,
                                   .may_lead = [&pulse] { return pulse.beats(); }});
  const bool stopped = election.run_once(
      [&](const std::stop_token& lost) {
        const std::stop_callback ends(lost, [] { std::thread(end_soon).detach(); });
        controller::lead(client, agent, settings, lost);
      },
      stop.get_token());
  if (stopped) return 0;
  throw Error(ErrorCode::Unavailable, "not the leader any more: starting again");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const controller::CommandLine command = controller::read_command_line({argv + 1, argv + argc});
    if (!command.answer.empty()) {
      std::fputs(command.answer.c_str(), stdout);
      return 0;
    }
    log::start(command.settings.log_level);
    return run(command.settings);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plexvol-controller: %s\n", printable(error.what()).c_str());
    return 1;
  }
}
