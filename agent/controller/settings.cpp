#include "agent/controller/settings.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/error.h"
#include "agent/api/protocol.h"

namespace plexvol::controller {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "plexvol-controller";
  return name.data();
}

}  // namespace

CommandLine read_command_line(std::vector<std::string> words) {
  CommandLine command;
  Settings& settings = command.settings;
  std::string server;
  std::string ca_file;
  std::string token_file;
  settings.agent_socket = api::kDefaultSocket;
  CLI::App app(
      "Plexvol's controller: makes volumes for claims, and keeps nodes' labels where the copies "
      "are. Run it in the cluster, beside an agent.",
      "plexvol-controller");
  app.set_version_flag("--version", "plexvol-controller " PLEXVOL_VERSION);
  app.add_option("--server", server,
                 "the API server's URL (default: of the cluster that this pod runs in)");
  app.add_option("--ca-file", ca_file, "who signs the API server's certificate");
  app.add_option("--token-file", token_file, "the token to show to the API server");
  app.add_option("--identity", settings.identity,
                 "name of this process in the lock (default: the host name)");
  app.add_option("--namespace", settings.ns, "namespace of the lock (default: the pod's)");
  app.add_option("--agent-socket", settings.agent_socket, "socket of this node's agent")
      ->capture_default_str();
  std::string failover = "on";
  app.add_option("--failover", failover,
                 "on: delete pods of dead nodes whose volumes can be used elsewhere; off")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--log-level", settings.log_level, "trace, debug, info, warning or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
      ->capture_default_str();
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    return {.answer = app.help(), .settings = {}};
  } catch (const CLI::CallForVersion&) {
    return {.answer = app.version() + '\n', .settings = {}};
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorCode::InvalidArgument, error.what());
  }
  settings.failover = failover == "on";
  if (server.empty()) {
    settings.server = kube::in_cluster_settings();
  } else {
    settings.server.server = server;
  }
  if (!ca_file.empty()) settings.server.ca_file = ca_file;
  if (!token_file.empty()) settings.server.token_file = token_file;
  settings.server.user_agent = "plexvol-controller/" PLEXVOL_VERSION;
  if (settings.identity.empty()) settings.identity = host_name();
  if (settings.ns.empty()) settings.ns = kube::in_cluster_namespace();
  if (settings.ns.empty()) {
    throw Error(ErrorCode::InvalidArgument, "--namespace is needed outside of a pod");
  }
  return command;
}

}  // namespace plexvol::controller
