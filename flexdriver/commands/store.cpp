#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/error.h"
#include "agent/api/repair.h"
#include "agent/api/text.h"
#include "flexdriver/commands/context.h"

namespace plexvol::driver {

namespace {

constexpr const char* kStoreFooter =
    "After an old backup of etcd was restored, or etcd was replaced by an empty one, the store "
    "may\n"
    "not know who has the newest data of a volume. Agents then change no current set. This "
    "command\n"
    "shows what the store says of each volume, what each node last acted on, and what it would "
    "do.\n"
    "With --apply it does that: each volume gets the set that was acted on last, and volumes "
    "that\nthe store does not know are recorded again. A volume is left in doubt when a node with "
    "a\n"
    "replica has not answered, or when two nodes have acted on different sets without each other.\n"
    "While one is in doubt no set is changed. Start all nodes before you use it.\n"
    "Examples:\n"
    "  plexvol store repair\n"
    "  plexvol store repair --apply\n"
    "  plexvol store repair --apply --without n3\n"
    "  plexvol store repair --apply --use data=n2 --i-accept-data-loss";

void print_volume(const api::RepairVolume& volume) {
  print_line("volume " + one_line(volume.name) + (volume.in_doubt ? ": IN DOUBT" : ""));
  print_line("  store:  " + one_line(volume.store));
  for (const std::string& node : volume.nodes) print_line("  node:   " + one_line(node));
  print_line("  repair: " + one_line(volume.action));
}

std::string summary(const api::RepairReply& reply) {
  if (reply.rolled_back.empty()) return "nothing to repair: no agent says that the store is older";
  std::size_t in_doubt = 0;
  for (const api::RepairVolume& volume : reply.volumes) in_doubt += volume.in_doubt ? 1 : 0;
  if (reply.done) return "repaired: the current sets are used again";
  if (!reply.applied) return "nothing was changed: add --apply to do it";
  if (in_doubt == 0) return "the store has just changed: run this again";
  return std::to_string(in_doubt) + (in_doubt == 1 ? " volume is" : " volumes are") +
         " in doubt, and no current set is changed until that is decided";
}

std::vector<api::RepairRequest::Choice> to_choices(const std::vector<std::string>& words) {
  std::vector<api::RepairRequest::Choice> choices;
  for (const std::string& word : words) {
    const std::size_t at = word.find('=');
    if (at == 0 || at == std::string::npos || at + 1 == word.size()) {
      throw Error(ErrorCode::InvalidArgument, "--use " + word + ": expected VOLUME=NODE");
    }
    choices.push_back({.volume = word.substr(0, at), .node = word.substr(at + 1)});
  }
  return choices;
}

void add_repair(CLI::App& parent, const CommandContext& context) {
  CLI::App* verb = parent.add_subcommand(
      "repair", "correct the volumes' current sets after an old backup of etcd was restored");
  verb->footer(kStoreFooter);
  const auto request = std::make_shared<api::RepairRequest>();
  const auto use = std::make_shared<std::vector<std::string>>();
  verb->add_flag("--apply", request->apply, "do what is shown; without it, nothing is changed");
  verb->add_option("--without", request->without,
                   "go on without this node, which does not answer (repeatable)");
  verb->add_option(
      "--use", *use,
      "VOLUME=NODE: use the replica on this node, whatever the others have (repeatable)");
  verb->add_flag("--i-accept-data-loss", request->accept_data_loss, "needed for --use");
  verb->callback([request, use, &context] {
    request->use = to_choices(*use);
    const std::string result = context.ask(api::kStoreRepairPath, api::to_json(*request));
    const auto reply = api::repair_reply_from_json(result);
    if (context.options().json()) {
      print_line(result);
    } else {
      if (!reply.rolled_back.empty())
        print_line("the store is older than before; " + one_line(reply.rolled_back));
      for (const api::RepairVolume& volume : reply.volumes) print_volume(volume);
      print_line(summary(reply));
    }
    if (reply.applied && !reply.done) throw Error(ErrorCode::Conflict, summary(reply));
  });
}

}  // namespace

void add_store_commands(CLI::App& app, const CommandContext& context) {
  CLI::App* noun = app.add_subcommand("store", "repair the store after a restored backup");
  noun->require_subcommand(1);
  add_repair(*noun, context);
}

}  // namespace plexvol::driver
