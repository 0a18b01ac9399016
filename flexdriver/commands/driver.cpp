#include <algorithm>
#include <memory>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/install/drop.h"
#include "flexdriver/install/guards.h"
#include "flexdriver/install/plugin_dirs.h"
#include "flexdriver/install/remove.h"

namespace plexvol::driver {

namespace {

struct Place {
  std::string plugin_dir;  // given by a person: no search
  std::string root;
  std::string proc = "/proc";
};

void add_place(CLI::App& command, Place& place) {
  command.add_option("--plugin-dir", place.plugin_dir,
                     "the kubelet's, on the host; default: found as `plexvol driver find` does");
  command.add_option("--root", place.root, "where the host's / is mounted, when in a container");
  command.add_option("--proc", place.proc, "where the host's /proc is mounted");
}

TrustedDir root_of(const Place& place) {
  return TrustedDir::open_root(place.root);
}

// What was passed over goes to stderr: stdout is what was found.
std::vector<PluginDir> dirs_of(const Place& place, const TrustedDir& root) {
  if (!place.plugin_dir.empty()) {
    if (!place.plugin_dir.starts_with('/')) {
      throw Error(ErrorCode::InvalidArgument, "--plugin-dir must be an absolute path");
    }
    return {{place.plugin_dir, "--plugin-dir"}};
  }
  const PluginDirs found = find_plugin_dirs(place.proc, root);
  for (const std::string& note : found.notes) print_note(note);
  return found.dirs;
}

const char* words_of(DropResult result) {
  switch (result) {
    case DropResult::Installed:
      return "installed";
    case DropResult::Replaced:
      return "replaced; the one before is kept for `plexvol driver roll-back`";
    case DropResult::Unchanged:
      return "is this version already";
  }
  return "";
}

// Of the host's first process: pods are mounted in its namespace, or in one that it sees.
DriverMounts list_driver_mounts(const Place& place) {
  try {
    return mounts_of_driver(mounts::select_mounts(place.proc + "/1/mountinfo", is_mount_of_driver));
  } catch (const Error& error) {
    throw Error(ErrorCode::Internal,
                std::string(error.what()) + ", which tells whether pods still use volumes");
  }
}

void refuse_while_mounted(const Place& place) {
  const DriverMounts mounted = list_driver_mounts(place);
  if (mounted.points.empty()) return;
  throw Error(ErrorCode::Conflict, std::to_string(mounted.volumes) + " volume" +
                                       (mounted.volumes == 1 ? " is" : "s are") +
                                       " still mounted for pods here, and only this driver can "
                                       "unmount them; delete the pods first. The first one is " +
                                       mounted.points.front());
}

// All volumes that have a copy on this node must be named: no data goes that nobody spoke of.
void purge(const std::vector<std::string>& named, const CommandContext& context) {
  const auto version = api::from_json<api::VersionReply>(context.ask(api::kVersionPath, "{}"));
  const auto volumes =
      api::from_json<std::vector<api::VolumeInfo>>(context.ask(api::kVolumeListPath, "{}"));
  std::string unnamed;
  std::string elsewhere;
  for (const auto& volume : volumes) {
    const bool here = std::any_of(volume.replicas.begin(), volume.replicas.end(),
                                  [&](const auto& copy) { return copy.node == version.node; });
    const bool is_named = std::find(named.begin(), named.end(), volume.name) != named.end();
    if (here && !is_named) unnamed += " " + volume.name;
    if (is_named && !here) elsewhere += " " + volume.name;
  }
  if (!unnamed.empty()) {
    throw Error(ErrorCode::Conflict,
                "nothing was deleted: --purge must name every volume that has "
                "a copy on " +
                    version.node + ", and these are not named:" + unnamed);
  }
  if (!elsewhere.empty()) {
    throw Error(ErrorCode::Conflict,
                "nothing was deleted: --purge must name only volumes that have a copy on " +
                    version.node + ", and these have none:" + elsewhere +
                    "; to delete them: plexvol volume delete");
  }
  for (const std::string& name : named) {
    context.ask(api::kVolumeDeletePath, api::to_json(api::VolumeNameRequest{.name = name}));
    print_line("volume " + name + " and its data are deleted");
  }
}

void add_find(CLI::App& noun, const CommandContext& context) {
  CLI::App* verb = noun.add_subcommand("find", "print the kubelet's FlexVolume plugin directory");
  const auto place = std::make_shared<Place>();
  add_place(*verb, *place);
  verb->callback([place, &context] {
    auto list = nlohmann::ordered_json::array();
    for (const PluginDir& dir : dirs_of(*place, root_of(*place))) {
      if (!context.options().json()) print_line(dir.path + "   " + dir.how);
      list.push_back({{"path", dir.path}, {"how", dir.how}});
    }
    if (context.options().json()) print_line(list.dump());
  });
}

void add_install(CLI::App& noun) {
  CLI::App* verb =
      noun.add_subcommand("install", "install this executable in the kubelet's plugin directory");
  verb->footer(
      "Safe while a kubelet calls the driver. Run again, it upgrades. Examples:\n"
      "  plexvol driver install\n"
      "  plexvol driver install --plugin-dir /etc/kubernetes/volumeplugins --attach true");
  const auto place = std::make_shared<Place>();
  const auto settings = std::make_shared<DropSettings>();
  const auto helper = std::make_shared<std::string>();
  add_place(*verb, *place);
  verb->add_option("--helper", *helper,
                   "also install a copy at this path on the host, as DRBD's usermode helper");
  verb->add_option("--attach", settings->attach, "true: Kubernetes attaches and detaches volumes");
  verb->add_option("--agent-socket", settings->socket,
                   "where the driver looks for the agent first");
  verb->add_option("--call-seconds", settings->timeout_seconds, "how long a call may take");
  verb->callback([place, settings, helper] {
    const TrustedDir root = root_of(*place);
    if (!helper->empty()) drop_helper(root, *helper, "/proc/self/exe");
    for (const PluginDir& dir : dirs_of(*place, root)) {
      if (dir.only_to_attach && settings->attach == false) continue;
      const DropResult result = drop_driver(root, dir.path, "/proc/self/exe", *settings);
      print_line(dir.path + "/plexvol~plexvol/plexvol " + words_of(result) + " (" + dir.how + ")");
    }
  });
}

void add_roll_back(CLI::App& noun) {
  CLI::App* verb = noun.add_subcommand("roll-back", "restore the previous driver");
  verb->footer("Run it twice to undo it.");
  const auto place = std::make_shared<Place>();
  add_place(*verb, *place);
  verb->callback([place] {
    const TrustedDir root = root_of(*place);
    for (const PluginDir& dir : dirs_of(*place, root)) {
      roll_back(root, dir.path);
      print_line(dir.path + "/plexvol~plexvol/plexvol is what it was before");
    }
  });
}

void add_uninstall(CLI::App& noun, const CommandContext& context) {
  CLI::App* verb = noun.add_subcommand("uninstall", "remove the driver from this machine");
  verb->footer(
      "Refused while pods use volumes here, or while a mount call runs. Volumes and their data\n"
      "stay, unless --purge names them. Example:\n"
      "  plexvol driver uninstall --purge data old-logs");
  const auto place = std::make_shared<Place>();
  const auto volumes = std::make_shared<std::vector<std::string>>();
  const auto helper = std::make_shared<std::string>();
  const auto state = std::make_shared<std::string>("/var/lib/plexvol");
  add_place(*verb, *place);
  verb->add_option("--helper", *helper, "the copy that install has put there");
  verb->add_option("--state-directory", *state, "the agent's, on the host");
  verb->add_option("--purge", *volumes,
                   "also delete these volumes, which must be all that have a copy here");
  verb->callback([place, volumes, helper, state, &context] {
    const TrustedDir root = root_of(*place);
    const auto dirs = dirs_of(*place, root);
    refuse_while_mounted(*place);
    for (const PluginDir& dir : dirs) refuse_while_called(place->proc, root, dir.path);
    if (!volumes->empty()) purge(*volumes, context);
    for (const PluginDir& dir : dirs) {
      const bool was_there =
          remove_driver(place->proc, root, dir.path, [&] { refuse_while_mounted(*place); });
      print_line(dir.path + "/plexvol~plexvol " + (was_there ? "is removed" : "is not there"));
    }
    // From now on no call sets one.
    clear_guards({.root = place->root, .proc = place->proc, .state_directory = *state});
    if (!remove_runtime_files(root)) {
      print_line(std::string(api::kDefaultSocket) + " stays: an agent answers there");
    }
    if (!helper->empty()) remove_helper(root, *helper);
  });
}

}  // namespace

void add_driver_commands(CLI::App& app, const CommandContext& context) {
  CLI::App* noun = app.add_subcommand("driver", "install or remove the kubelet's driver");
  noun->require_subcommand(1);
  add_find(*noun, context);
  add_install(*noun);
  add_roll_back(*noun);
  add_uninstall(*noun, context);
}

}  // namespace plexvol::driver
