#include <unistd.h>

#include <cstdlib>
#include <memory>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "agent/base/text.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/commands/follow.h"
#include "flexdriver/commands/table.h"

namespace plexvol::driver {

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string nodes_of(const api::VolumeInfo& volume) {
  std::vector<std::string> nodes;
  for (const api::ReplicaInfo& replica : volume.replicas) nodes.push_back(replica.node);
  return base::join(nodes);
}

// "1 of 2": fewer than it is to have.
std::string copies_text(const api::VolumeInfo& volume) {
  if (volume.copies_asked <= volume.copies) return "";
  return std::to_string(volume.copies) + " of " + std::to_string(volume.copies_asked) +
         " asked for";
}

std::string replicas_text(const api::VolumeInfo& volume) {
  const std::string copies = copies_text(volume);
  return nodes_of(volume) + (copies.empty() ? "" : " (" + copies + ")");
}

std::string namespace_text(const api::VolumeInfo& volume) {
  return volume.tenant == api::kAnyNamespace ? "any" : volume.tenant;
}

std::string current_text(const api::ReplicaInfo& replica) {
  if (replica.current) return "yes";
  return replica.left_at == 0 ? "no" : "no, since " + time_to_text(replica.left_at);
}

// Who sits there: the agent itself only sees root.
std::string user_name() {
  const char* sudo = std::getenv("SUDO_USER");  // NOLINT(concurrency-mt-unsafe): one thread
  return sudo != nullptr && *sudo != '\0' ? sudo : "uid " + std::to_string(::getuid());
}

std::string synced_text(const api::ReplicaInfo& replica) {
  if (!replica.made) return "not made";
  if (replica.lacks_more) return "?";
  const auto tenths = static_cast<long>(replica.synced_percent * 10);
  return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + '%';
}

std::string out_of_sync_text(const api::ReplicaInfo& replica) {
  if (!replica.made) return "all";
  return (replica.lacks_more ? "lacks at least " : "") + size_to_text(replica.out_of_sync_bytes);
}

void print_list(const std::vector<api::VolumeInfo>& volumes) {
  Rows rows{{"NAME", "SIZE", "STATE", "ATTACHED TO", "REPLICAS", "POOL", "FS", "NAMESPACE"}};
  for (const api::VolumeInfo& volume : volumes) {
    rows.push_back({volume.name, size_to_text(volume.size_bytes), volume.state, volume.attached_to,
                    replicas_text(volume), volume.pool, volume.fs_type, namespace_text(volume)});
  }
  print_line(format_table(rows));
}

void print_volume(const api::VolumeInfo& volume) {
  Rows facts{{"Name:", volume.name},
             {"Size:", size_to_text(volume.size_bytes)},
             {"State:", volume.state},
             {"Attached to:", volume.attached_to},
             {"Pool:", volume.pool},
             {"File system:", volume.fs_type},
             {"DRBD minor:", volume.drbd_minor == 0 ? "" : std::to_string(volume.drbd_minor)},
             {"Epoch:", std::to_string(volume.epoch)}};
  if (!volume.tenant.empty()) facts.push_back({"Namespace:", namespace_text(volume)});
  if (const std::string copies = copies_text(volume); !copies.empty()) {
    facts.push_back({"Copies:", copies});
  }
  if (!volume.pending.empty()) facts.push_back({"To be done:", volume.pending});
  if (!volume.forced.empty()) facts.push_back({"Forced:", volume.forced});
  if (!volume.former.empty()) facts.push_back({"Removed soon from:", base::join(volume.former)});
  Rows rows{{"REPLICA", "NODE", "DISK", "ROLE", "CONNECTION", "SYNCED", "OUT OF SYNC", "CURRENT",
             "DEVICE", "MOUNTED ON"}};
  std::string errors;
  for (const api::ReplicaInfo& replica : volume.replicas) {
    rows.push_back({replica.node, replica.alive ? "up" : "DOWN", replica.disk_state, replica.role,
                    replica.connection, synced_text(replica), out_of_sync_text(replica),
                    current_text(replica), replica.device, base::join(replica.mounts)});
    if (!replica.error.empty()) errors += '\n' + replica.node + ": " + one_line(replica.error);
  }
  print_line(format_table(facts) + '\n' + format_table(rows) + errors);
}

void add_create(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand("create", "create a volume");
  verb->footer(
      "Examples:\n"
      "  plexvol volume create data --size 10Gi\n"
      "  plexvol volume create db --size 20Gi --replicas 2 --nodes n1,n2 --fs-type xfs");
  const auto request = std::make_shared<api::CreateVolumeRequest>();
  verb->add_option("NAME", request->name, "letters, digits, '.', '_' and '-'")->required();
  verb->add_option("--size", request->size, "10Gi, 500M, 1073741824")->required();
  verb->add_option("--replicas", request->replicas, "number of replicas, each on its own node")
      ->capture_default_str();
  verb->add_option("--nodes", request->nodes, "nodes for the replicas: n1,n2")->delimiter(',');
  verb->add_option("--pool", request->pool, "the pool on these nodes");
  verb->add_option("--fs-type", request->fs_type, "ext4 (default) or xfs");
  verb->add_option("--mkfs-options", request->mkfs_options, "additional options for mkfs");
  verb->add_option("--namespace", request->tenant,
                   "namespace whose pods may mount it; default: that of the first pod that does");
  verb->callback([request, &context] {
    const std::string result = context.ask(api::kVolumeCreatePath, api::to_json(*request));
    if (context.options().json()) return print_line(result);
    const auto volume = api::from_json<api::VolumeInfo>(result);
    print_line("volume " + volume.name + " of " + size_to_text(volume.size_bytes) +
               " is created on " + nodes_of(volume));
  });
}

void add_list(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand("list", "list all volumes of the cluster");
  verb->footer("Examples:\n  plexvol volume list\n  plexvol volume list -o json");
  verb->callback([&context] {
    const std::string result = context.ask(api::kVolumeListPath, "{}");
    if (context.options().json()) return print_line(result);
    print_list(api::from_json<std::vector<api::VolumeInfo>>(result));
  });
}

void add_show(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand("show", "show a volume and its replicas");
  verb->footer("Example:\n  plexvol volume show data");
  const auto request = std::make_shared<api::VolumeNameRequest>();
  verb->add_option("NAME", request->name, "the volume")->required();
  verb->callback([request, &context] {
    const std::string result = context.ask(api::kVolumeShowPath, api::to_json(*request));
    if (context.options().json()) return print_line(result);
    print_volume(api::from_json<api::VolumeInfo>(result));
  });
}

std::string whose(const std::string& tenant) {
  return tenant == api::kAnyNamespace ? "any namespace" : "namespace " + tenant;
}

// How to get back to what was before.
std::string undo_text(const api::VolumeInfo& before) {
  if (before.tenant.empty()) return "before: none had mounted it yet";
  const std::string flag =
      before.tenant == api::kAnyNamespace ? "--any-namespace" : "--namespace " + before.tenant;
  return "to undo: plexvol volume set " + before.name + ' ' + flag;
}

std::string pending_text(const api::VolumeInfo& volume) {
  return "volume " + volume.name + ": " +
         (volume.pending.empty() ? "its replicas are on " + nodes_of(volume) : volume.pending);
}

void add_set(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand(
      "set", "change how many copies a volume has, or which namespace's pods may mount it");
  verb->footer(
      "Pods that have it mounted keep it. With --copies 2, the data stays where it is, and a "
      "second\n"
      "copy is made; with --copies 1, one of the two goes. Both are recorded at once and done "
      "when\n"
      "the volume is not in use: `plexvol volume show` says what that waits for.\n"
      "Examples:\n"
      "  plexvol volume set data --copies 2\n"
      "  plexvol volume set data --copies 1 --keep n1\n"
      "  plexvol volume set data --namespace shop\n"
      "  plexvol volume set data --any-namespace");
  const auto request = std::make_shared<api::SetVolumeRequest>();
  const auto any = std::make_shared<bool>(false);
  verb->add_option("NAME", request->name, "the volume")->required();
  CLI::App* choice = verb->add_option_group("namespace");
  choice->add_option("--namespace", request->tenant, "only pods of this namespace");
  choice->add_flag("--any-namespace", *any, "pods of all namespaces: they share its files");
  choice->require_option(0, 1);
  CLI::Option* copies =
      verb->add_option("--copies", request->copies, "how many replicas it is to have: 1 or 2")
          ->check(CLI::Range(1, 2));
  verb->add_option("--keep", request->keep, "with --copies 1: the node that keeps its replica")
      ->needs(copies);
  const auto watch = std::make_shared<bool>(false);
  verb->add_flag("-w,--watch", *watch, "with --copies: show how far it is, until it is done")
      ->needs(copies);
  verb->callback([request, any, watch, &context] {
    if (*any) request->tenant = api::kAnyNamespace;
    if (request->tenant.empty() && request->copies == 0) {
      throw CLI::RequiredError("--copies, --namespace or --any-namespace");
    }
    api::VolumeInfo before;
    if (!request->tenant.empty()) {
      before = api::from_json<api::VolumeInfo>(
          context.ask(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{request->name})));
    }
    const std::string result = context.ask(api::kVolumeSetPath, api::to_json(*request));
    if (*watch) return follow(request->name, context);
    if (context.options().json()) return print_line(result);
    if (!request->tenant.empty()) {
      print_line("volume " + request->name + ": pods of " + whose(request->tenant) +
                 " may mount it (" + undo_text(before) + ")");
    }
    if (request->copies != 0) {
      print_line(pending_text(api::from_json<api::VolumeInfo>(result)));
    }
  });
}

void add_move(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand("move", "move one replica of a volume to another node");
  verb->footer(
      "It is recorded at once, and goes on when this command has ended: `plexvol volume show` "
      "says\n"
      "how far it is. A replica in use moves once its pod has left. The only replica of a volume\n"
      "gets a second one first, when the volume is not in use, and goes when that is up to date.\n"
      "To stop it: plexvol volume set data --copies N, with as many as it has.\n"
      "Examples:\n"
      "  plexvol volume move data --from n1 --to n4 -w\n"
      "  plexvol volume move data --to n4");
  const auto request = std::make_shared<api::MoveVolumeRequest>();
  verb->add_option("NAME", request->name, "the volume")->required();
  verb->add_option("--from", request->from, "the node whose replica moves; default: the only one");
  verb->add_option("--to", request->to, "the node that gets it; default: the one with most room");
  const auto watch = std::make_shared<bool>(false);
  verb->add_flag("-w,--watch", *watch, "show how far it is, until it is done; ^C does not stop it");
  verb->callback([request, watch, &context] {
    const std::string result = context.ask(api::kVolumeMovePath, api::to_json(*request));
    if (*watch) return follow(request->name, context);
    if (context.options().json()) return print_line(result);
    print_line(pending_text(api::from_json<api::VolumeInfo>(result)));
  });
}

void add_resize(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand("resize", "make a volume larger, also while it is used");
  verb->footer(
      "The file system grows with it, or when it is mounted next. Two replicas grow only while\n"
      "it is mounted, and their nodes are connected and in sync. Smaller sizes are refused.\n"
      "Example:\n  plexvol volume resize data 20Gi");
  const auto request = std::make_shared<api::ResizeVolumeRequest>();
  verb->add_option("NAME", request->name, "the volume")->required();
  verb->add_option("SIZE", request->size, "its new size: 20Gi, 500M, 1073741824")->required();
  verb->callback([request, &context] {
    const std::string result = context.ask(api::kVolumeResizePath, api::to_json(*request));
    if (context.options().json()) return print_line(result);
    const auto volume = api::from_json<api::VolumeInfo>(result);
    print_line("volume " + volume.name + " has " + size_to_text(volume.size_bytes) +
               (volume.filesystem_grows ? ", its file system grows when it is mounted" : ""));
  });
}

void add_delete(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand(
      "delete", "remove a volume and its data, without asking; refused while it is in use");
  verb->footer("Example:\n  plexvol volume delete data");
  const auto request = std::make_shared<api::VolumeNameRequest>();
  verb->add_option("NAME", request->name, "the volume")->required();
  verb->callback([request, &context] {
    const std::string result = context.ask(api::kVolumeDeletePath, api::to_json(*request));
    if (context.options().json()) return print_line(result);
    const auto reply = api::from_json<api::DeleteVolumeReply>(result);
    if (reply.waiting_for.empty()) return print_line("volume " + request->name + " is deleted");
    print_line("volume " + request->name +
               " is being deleted; these nodes remove their replicas when they return: " +
               base::join(reply.waiting_for));
  });
}

void add_force_current(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand(
      "force-current",
      "use the replica on one node although it may be outdated, when no current one will return");
  verb->footer(
      "Data that only the other replicas have is discarded when they return. Prints what is known "
      "of\nthe replicas first; without --i-accept-data-loss nothing is changed.\n"
      "Example:\n  plexvol volume force-current data --node n2 --i-accept-data-loss");
  const auto request = std::make_shared<api::ForceCurrentRequest>();
  verb->add_option("NAME", request->name, "the volume")->required();
  verb->add_option("--node", request->node, "the node whose replica becomes current")->required();
  verb->add_flag("--i-accept-data-loss", request->accept_data_loss, "do it");
  verb->callback([request, &context] {
    request->by = user_name();
    if (!context.options().json()) {
      const std::string before =
          context.ask(api::kVolumeShowPath, api::to_json(api::VolumeNameRequest{request->name}));
      print_volume(api::from_json<api::VolumeInfo>(before));
      print_line("");
    }
    const std::string result = context.ask(api::kForceCurrentPath, api::to_json(*request));
    if (context.options().json()) return print_line(result);
    print_line("volume " + request->name + ": the replica on " + request->node +
               " is now the only current one");
  });
}

}  // namespace

void add_volume_commands(CLI::App& app, const CommandContext& context) {
  CLI::App* noun =
      app.add_subcommand("volume", "create, list, show, set, move, resize and delete volumes");
  noun->require_subcommand(1);
  add_create(*noun, context);
  add_list(*noun, context);
  add_show(*noun, context);
  add_set(*noun, context);
  add_move(*noun, context);
  add_resize(*noun, context);
  add_delete(*noun, context);
  add_force_current(*noun, context);
}

}  // namespace plexvol::driver
