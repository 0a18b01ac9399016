#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/protocol.h"
#include "flexdriver/commands/context.h"

namespace plexvol::driver {

void add_version_command(CLI::App& app, const CommandContext& context) {
  CLI::App* noun =
      app.add_subcommand("version", "print the versions of this program and of this node's agent");
  noun->footer("Examples:\n  plexvol version\n  plexvol --version    (asks no agent)");
  noun->callback([&context] {
    const bool json = context.options().json();
    if (!json) print_line("plexvol " PLEXVOL_VERSION);
    const std::string result = context.ask(api::kVersionPath, "{}");
    if (json)
      return print_line(R"({"plexvol":")" PLEXVOL_VERSION R"(","plexvold":)" + result + '}');
    const auto agent = api::from_json<api::VersionReply>(result);
    print_line("plexvold " + agent.version + " on node " + agent.node + " (store " + agent.store +
               ", protocol " + std::to_string(agent.protocol) + ')');
  });
}

}  // namespace plexvol::driver
