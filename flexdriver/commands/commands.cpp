#include "flexdriver/commands/commands.h"

#include <unistd.h>

#include <array>
#include <cstdio>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/base/files.h"
#include "agent/client/agent_client.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/settings.h"

namespace plexvol::driver {

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

constexpr const char* kFooter =
    "Examples:\n"
    "  plexvol volume create data --size 10Gi --replicas 2\n"
    "  plexvol volume list\n"
    "  plexvol node list -o json\n"
    "\n"
    "The kubelet runs the same program as a FlexVolume driver, and so may you. It then prints one\n"
    "JSON object and exits with 0 for Success, else 1:\n"
    "  plexvol init\n"
    "  plexvol attach OPTIONS NODE             plexvol detach NAME NODE\n"
    "  plexvol isattached OPTIONS NODE         plexvol waitforattach DEVICE OPTIONS\n"
    "  plexvol mountdevice DIR DEVICE OPTIONS  plexvol unmountdevice DIR\n"
    "  plexvol mount DIR OPTIONS               plexvol unmount DIR\n"
    "OPTIONS is a JSON object of strings, @FILE that holds one, or - for stdin. With --trace (or\n"
    "PLEXVOL_TRACE=1) each step and how long it took is shown on stderr:\n"
    "  plexvol mount /mnt/data '{\"volume\":\"data\"}' --trace\n"
    "  plexvol unmount /mnt/data\n"
    "The third caller is the kernel: plexvol is DRBD's usermode_helper (plexvol fence-peer "
    "RESOURCE).";

void add_options(CLI::App& app, CommandOptions& options) {
  app.add_option("--socket", options.socket, "the agent's socket, instead of the usual places");
  app.add_option("--timeout", options.timeout_seconds, "seconds to wait for an answer")
      ->check(CLI::Range(0.1, 86'400.0));
  app.add_option("-o,--output", options.output, "table (default) or json")
      ->check(CLI::IsMember({"table", "json"}));
  app.add_flag("--trace", options.trace_word, "show the steps that were taken, on stderr");
}

}  // namespace

std::string CommandContext::ask(const char* path, const std::string& body) const {
  Settings settings = load_settings();
  if (!settings.problem.empty()) trace_.note(settings.problem);
  if (!options_.socket.empty()) settings.sockets = {options_.socket};
  if (options_.timeout_seconds > 0) {
    settings.timeout =
        std::chrono::milliseconds(static_cast<long>(options_.timeout_seconds * 1000));
  }
  client::AgentClient agent(settings.sockets, trace_.listener());
  return agent.call(
      path, body,
      {.deadline = base::Clock::now() + settings.timeout, .retry = client::Retry::Never});
}

void print_line(const std::string& text) {
  base::write_all(STDOUT_FILENO, printable_lines(text.ends_with('\n') ? text : text + '\n'));
}

void print_note(const std::string& text) {
  base::write_all(STDERR_FILENO, "plexvol: note: " + one_line(text) + '\n');
}

bool is_command(std::string_view word) {
  constexpr std::array<std::string_view, 7> kNouns{"volume", "node",   "pv",     "store",
                                                   "driver", "doctor", "version"};
  return word.empty() || word.starts_with('-') ||
         std::find(kNouns.begin(), kNouns.end(), word) != kNouns.end();
}

int run_command(int argc, char** argv, const Trace& trace) {
  CommandOptions options;
  const CommandContext context(options, trace);
  CLI::App app("Replicated block volumes for Kubernetes, on the nodes' own disks.", "plexvol");
  app.set_version_flag("--version", "plexvol " PLEXVOL_VERSION);
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  add_options(app, options);
  add_volume_commands(app, context);
  add_node_commands(app, context);
  add_pv_command(app, context);
  add_store_commands(app, context);
  add_driver_commands(app, context);
  add_doctor_command(app, context);
  add_version_command(app, context);
  if (argc < 2) {
    base::write_all(STDERR_FILENO, app.help());
    return kWrongUsage;
  }
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  } catch (const Error& error) {
    base::write_all(STDERR_FILENO, "plexvol: " + one_line(error.what()) + '\n');
    return kFailed;
  }
}

}  // namespace plexvol::driver
