#include "flexdriver/commands/commands.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/api/protocol.h"

namespace plexvol::driver {

namespace {

constexpr const char* kDescription =
    "Replicated volumes for pods, on the nodes' own disks.\n\n"
    "A kubelet calls this program with FlexVolume's words (init, attach, waitforattach, isattached,\n"
    "mountdevice, mount, unmount, unmountdevice, detach), and so can you; each answers one JSON object:\n"
    "  plexvol mount /mnt '{\"volume\":\"data\",\"size\":\"1Gi\",\"replicas\":\"2\"}'\n"
    "  plexvol mount /mnt @options.json --trace\n"
    "  plexvol unmount /mnt\n"
    "Options may be an argument, @FILE, or - for stdin; --trace tells each step and its duration.\n\n"
    "The commands below are for people. Each explains itself by --help.";

void add_version(CLI::App& app, const Person& person) {
  auto* command = app.add_subcommand("version", "This program's version, and the agent's");
  command->callback([&person] {
    std::string agent;
    std::string failure;
    try {
      agent = person.ask(api::kVersionPath, "{}");
    } catch (const Error& error) {
      failure = error.what();
    }
    if (person.json()) {
      std::printf("{\"plexvol\":\"%s\",\"agent\":%s}\n", PLEXVOL_VERSION,
                  agent.empty() ? "null" : agent.c_str());
      return;
    }
    std::printf("plexvol  %s\n", PLEXVOL_VERSION);
    if (agent.empty()) throw Error(ErrorCode::Unavailable, failure);
    const auto reply = api::from_json<api::VersionReply>(agent);
    std::printf("plexvold %s on node %s, store %s\n", reply.version.c_str(), reply.node.c_str(),
                reply.store.c_str());
  });
}

}  // namespace

std::string Person::ask(const char* path, const std::string& body) const {
  const Trace steps(trace);
  AgentClient agent(settings.sockets, steps);
  return agent.call(path, body,
                    {.deadline = Clock::now() + settings.timeout, .retry = Retry::Never});
}

bool is_person_command(const std::string& first) {
  for (const char* word : {"", "volume", "node", "version", "help", "-h", "--help", "--version",
                           "-o", "--socket", "--timeout"}) {
    if (first == word) return true;
  }
  return false;
}

int run_person_command(int argc, char** argv) {
  Person person;
  person.settings = load_settings();
  std::string socket;
  double timeout_seconds = 0;
  CLI::App app(kDescription, "plexvol");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-o,--output", person.output, "json: for programs; default: a table")
      ->check(CLI::IsMember({"json"}));
  app.add_option("--socket", socket, "Where the agent listens");
  app.add_option("--timeout", timeout_seconds, "Seconds to wait for the agent")
      ->check(CLI::Range(0.1, 3600.0));
  app.add_flag("--trace", person.trace, "Tell each step and its duration on stderr");
  app.parse_complete_callback([&] {
    if (!socket.empty()) person.settings.sockets = {socket};
    if (timeout_seconds > 0) {
      person.settings.timeout = milliseconds(static_cast<long>(timeout_seconds * 1000));
    }
  });
  add_volume_commands(app, person);
  add_node_commands(app, person);
  add_version(app, person);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plexvol: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace plexvol::driver
