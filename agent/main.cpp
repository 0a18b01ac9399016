// Puts the agent's parts together and runs them; decides nothing.
#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>

#include "agent/api/random.h"
#include "agent/api/report.h"
#include "agent/api/text.h"
#include "agent/config.h"
#include "agent/config_check.h"
#include "agent/doctor/doctor.h"
#include "agent/filesystem/filesystem.h"
#include "agent/http/routes.h"
#include "agent/http/unix_socket.h"
#include "agent/log.h"
#include "agent/machine_id.h"
#include "agent/make_store.h"
#include "agent/mounting/ended_pods.h"
#include "agent/mounting/pod_directories.h"
#include "agent/node_lock.h"
#include "agent/part_settings.h"
#include "agent/process/boost_runner.h"
#include "agent/reconcile/mirroring.h"
#include "agent/reconcile/node_report.h"
#include "agent/reconcile/own_address.h"
#include "agent/reconcile/workers.h"
#include "agent/store/acted_report.h"
#include "agent/store/guarded_store.h"
#include "agent/volumes/drbd_helper.h"

namespace {

using namespace plexvol;  // NOLINT(google-build-using-namespace): wiring names everything once

void put_helper_back(const Config& config) {
  const std::string before =
      drbd::give_usermode_helper_back(config.drbd.helper, helper_memory(config));
  std::printf("%s\n", before.empty()
                          ? "DRBD's usermode helper is not Plexvol's: nothing to restore"
                          : fmt::format("restored DRBD's usermode helper: {}", before).c_str());
}

// Blocked before any thread is started, so that only main() ever sees them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

reconcile::ReconcilerSettings telling(store::ActedReport& report,
                                      reconcile::ReconcilerSettings settings) {
  settings.contradicted = [&report](const std::string& volume) { report.contradicted(volume); };
  return settings;
}

// What the doctor looks at besides what a running agent knows.
doctor::Subject doctors_subject(const Config& config) {
  return {.here = config.node_name,
          .address = config.address,
          .pools = config.pools,
          .first_port = static_cast<std::uint16_t>(config.drbd.first_port),
          .helper = config.drbd.helper,
          .sockets = config.sockets,
          .pods = pods_settings(config),
          .state_directory = config.state_directory,
          .try_nine = config.drbd.newest >= 9,
          .store_kind = config.store.kind,
          .endpoints = config.store.endpoints,
          .store_problems = {},
          .decisions = {},
          .store = nullptr,
          .places = {}};
}

int examine(const Config& config) {
  log::start("error");
  process::BoostRunner runner;
  std::unique_ptr<store::Store> raw_store;
  std::vector<std::string> problems = unreadable_files(config);
  try {
    if (config.store.kind != "embedded" && problems.empty()) raw_store = make_store(config);
  } catch (const Error& error) {
    problems.emplace_back(error.what());
  }
  std::optional<store::TypedStore> store;
  if (raw_store) store.emplace(*raw_store);
  doctor::Subject subject = doctors_subject(config);
  // nullptr where it is embedded: its agent may be using it.
  subject.store = store ? &*store : nullptr;
  subject.store_problems = problems;
  const auto findings = doctor::examine(subject, runner);
  std::fputs(api::to_report(findings).c_str(), stdout);
  return doctor::has_fault(findings) ? 1 : 0;
}

// An embedded store is this machine's own.
store::Identity identity(const Config& config, const reconcile::OwnAddress& address,
                         store::StoreSeen& seen) {
  if (config.store.kind == "embedded") return {.node = config.node_name, .machine = {}};
  const std::string machine = find_machine_id(config.state_directory);
  if (machine.empty()) {
    log::warn(
        fmt::format("this machine has no ID, and none can be stored in {}: another machine named "
                    "{} would not be detected",
                    config.state_directory, config.node_name));
  }
  return {.node = config.node_name,
          .machine = machine,
          .address = [&address] { return address.get(); },
          .seen = &seen};
}

doctor::Subject running_subject(const Config& config, const reconcile::OwnAddress& address,
                                const store::GuardedStore& guard,
                                const mounting::EndedPods& ended) {
  doctor::Subject subject = doctors_subject(config);
  subject.address = address.get();
  subject.new_address = address.changed_to();
  subject.refusal = guard.refusal();
  subject.ended_pods.emplace();
  for (const mounting::MountReport& report : ended.list_reports()) {
    subject.ended_pods->push_back({.found = report.found, .advice = report.advice});
  }
  return subject;
}

int serve_until(const sigset_t& signals, http::Server& server) {
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("stopping");
  if (server.stop(std::chrono::seconds(5))) return 0;
  log::warn(
      "a call did not end within 5 seconds; exiting anyway, the next agent will finish its work");
  std::_Exit(0);
}

// The store, and what this node has seen of it and acted on.
struct KnownStore {
  store::StoreSeen seen;
  std::unique_ptr<store::Store> raw;
  store::GuardedStore guard;
  store::TypedStore store{guard};
  store::ActedSets acted;

  KnownStore(const Config& config, const reconcile::OwnAddress& address)
      : seen(config.state_directory + "/store-seen"),
        raw(make_store(config, &seen)),
        guard(*raw, identity(config, address, seen)),
        acted(config.state_directory + "/acted") {}
};

// Whatever calls the agent, over the same use cases.
struct Doors {
  volumes::UseCases use_cases;
  flexvolume::FlexVolume flexvolume;
  commands::Commands commands;

  Doors(const Config& config, KnownStore& known, arbiter::Arbiter& arbiter,
        mounting::MountCalls& calls, volumes::Settings settings)
      : use_cases(known.store, arbiter, calls, std::move(settings)),
        flexvolume(use_cases, config.device_directory),
        commands(use_cases, [&known] { known.guard.give_name_up(); }) {}

  http::Doors all(std::function<std::vector<api::Finding>()> examine) {
    return {.flexvolume = flexvolume,
            .commands = commands,
            .answer_drbd =
                [this](const api::HelperRequest& request) {
                  return volumes::answer_drbd(use_cases.store, use_cases.arbiter,
                                              use_cases.settings, request);
                },
            .examine = std::move(examine)};
  }
};

int run(const Config& config) {
  const sigset_t signals = block_signals();
  // Before anything is announced, served or touched: two agents on one node undo each other's work.
  const NodeLock node_lock(config.state_directory);
  std::vector<http::SocketLock> socket_locks = http::lock_sockets(config.sockets);
  const std::string session = random_hex(16);
  log::info("plexvold " PLEXVOL_VERSION " starts as node " + config.node_name);
  reconcile::OwnAddress address(config.address_is_set ? config.address : "", default_route_address);
  address.look();
  KnownStore known(config, address);
  store::TypedStore& store = known.store;
  arbiter::Arbiter arbiter(store, known.acted);
  store::ActedReport acted(store, known.acted, config.node_name);

  process::BoostRunner tools;
  process::TraceLog trace;
  process::TracingRunner runner(tools, trace, [](const std::string& line) { log::debug(line); });
  std::map<std::string, std::unique_ptr<reconcile::Pool>> pools;
  for (const auto& pool : config.pools) pools[pool.name] = reconcile::make_pool(pool, runner);
  drbd::Drbd drbd(runner, drbd_settings(config));
  filesystem::Filesystem filesystem(runner);
  reconcile::Mirroring mirroring(drbd, mirroring_settings(config, address));
  mirroring.keep();  // before the first volume is looked at

  reconcile::NodeReport report(store, pools, drbd,
                               report_settings(config, session, address, mirroring));
  reconcile::Queue queue;
  const pods::Pods pods(pods_settings(config));
  mounting::MountCalls calls([&queue](const std::string& volume) { queue.add(volume); });
  mounting::PodDirectories directories(directory_settings(config, pods, calls, queue));
  reconcile::Jobs jobs([&queue](const std::string& volume) { queue.add(volume); });
  mounting::EndedPods ended(ended_pod_settings(config, pods, calls, queue));
  reconcile::Reconciler reconciler(
      {.store = store,
       .arbiter = arbiter,
       .pools = pools,
       .drbd = drbd,
       .filesystem = filesystem,
       .calls = calls,
       .pods = pods,
       .jobs = jobs,
       .links = reconcile::Links(config.device_directory)},
      telling(acted, reconciler_settings(config, session, report, queue, directories, ended)));
  const reconcile::Workers workers(reconciler, queue, store,
                                   worker_settings(config, reconciler, directories, ended));
  Doors doors(config, known, arbiter, calls,
              volume_settings(config, session, filesystem, queue, directories, drbd));
  const auto examine_here = [&] {
    doctor::Subject subject = running_subject(config, address, known.guard, ended);
    subject.decisions = arbiter::to_text(arbiter.counts());
    subject.session = session;
    subject.store = &store;
    return doctor::examine(subject, runner);
  };
  http::Server server(server_settings(config), http::make_routes(doors.all(examine_here), trace),
                      std::move(socket_locks));
  log::info("serving " + config.sockets.front());

  return serve_until(signals, server);
}

}  // namespace

int main(int argc, char** argv) {
  // What fails is told by us, once and in words; gRPC's own lines would tell each attempt between
  // ours.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // NOLINT(concurrency-mt-unsafe): before any thread
  try {
    const CommandLine command = read_command_line({argv + 1, argv + argc});
    if (!command.answer.empty()) {
      std::fputs(command.answer.c_str(), stdout);
      return 0;
    }
    if (command.put_helper_back) {
      put_helper_back(command.config);
      return 0;
    }
    if (command.doctor) return examine(command.config);
    log::start(command.config.log_level);
    return run(command.config);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plexvold: %s\n", printable(error.what()).c_str());
    return 1;
  }
}
