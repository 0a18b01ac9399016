#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/commands/table.h"

namespace plexvol::driver {

namespace {

// Of a pool whose volumes fill up as they are written to: ", 148% promised", and the limit.
std::string promised_text(const api::PoolInfo& pool) {
  if (pool.type == "lvm" || pool.promised_bytes == 0 || pool.total_bytes == 0) return "";
  const double percent =
      static_cast<double>(pool.promised_bytes) / static_cast<double>(pool.total_bytes) * 100;
  std::string text = ", " + std::to_string(static_cast<std::uint64_t>(percent)) + "% promised";
  if (pool.max_promised_percent != 0) {
    text += " of at most " + std::to_string(pool.max_promised_percent) + '%';
  }
  return text;
}

std::string pool_text(const api::PoolInfo& pool) {
  std::string text = pool.name + " (" + pool.type + ", " + size_to_text(pool.free_bytes) + " of " +
                     size_to_text(pool.total_bytes) + " free" + promised_text(pool) + ")";
  if (!pool.error.empty()) text += " " + pool.error;
  return text;
}

std::string state_text(const api::NodeInfo& node) {
  return std::string(node.alive ? "up" : "DOWN") + (node.cordon.empty() ? "" : ", " + node.cordon);
}

// A line for each pool: a node's own columns stand in the first of them.
void print_nodes(const std::vector<api::NodeInfo>& nodes) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "STATE", "ADDRESS", "VERSION", "DRBD", "POOLS"}};
  for (const api::NodeInfo& node : nodes) {
    rows.push_back({node.name, state_text(node), node.address, node.version, node.drbd_version,
                    node.pools.empty() ? "" : pool_text(node.pools.front())});
    for (std::size_t i = 1; i < node.pools.size(); ++i) {
      rows.push_back({" ", " ", " ", " ", " ", pool_text(node.pools[i])});
    }
  }
  print_line(format_table(rows));
}

std::string describe(const api::NodeChangeReply& reply) {
  std::string text;
  for (const auto& left : reply.left) {
    text += (text.empty() ? "" : "\n") + left.volume + ": " + one_line(left.why);
  }
  return text;
}

// Until nothing is left, or only what waiting does not help. What was asked for stays so, and goes
// on, when this command is interrupted: so an agent that is restarted meanwhile, or a store that
// does not answer, is waited for as well.
void change_and_wait(const api::NodeChange& change, const CommandContext& context) {
  constexpr std::chrono::seconds kPause(2);
  std::string said;
  const auto tell = [&](const std::string& now) {
    if (now != said && !now.empty() && !context.options().json()) print_line(now);
    said = now;
  };
  for (bool was_asked = false;; std::this_thread::sleep_for(kPause)) {
    std::string result;
    try {
      result = context.ask(api::kNodeChangePath, api::to_json(change));
    } catch (const Error& error) {
      // An answer that got lost on its way: it was forgotten by then.
      if (was_asked && error.code() == ErrorCode::NotFound && change.action == "forget") return;
      if (!was_asked || error.code() != ErrorCode::Unavailable) throw;
      tell(error.what());
      continue;
    }
    was_asked = true;
    const auto reply = api::from_json<api::NodeChangeReply>(result);
    const bool stuck = std::all_of(reply.left.begin(), reply.left.end(),
                                   [](const auto& left) { return left.needs_person; });
    if (context.options().json() && stuck) print_line(result);
    tell(describe(reply));
    if (stuck && !reply.left.empty()) {
      throw Error(ErrorCode::Conflict,
                  "what is left on " + change.name + " needs an administrator");
    }
    if (reply.left.empty()) return;
  }
}

struct Verb {
  const char* action;
  const char* what;
  const char* more;
  const char* done;
  bool waits;
};

constexpr Verb kVerbs[] = {
    {"cordon", "place no new replicas on this node", "", "is cordoned", false},
    {"uncordon", "place replicas on this node again; ends a drain as well", "", "is uncordoned",
     false},
    {"drain", "move all replicas to other nodes, and wait until they are up to date there",
     "The drain goes on if this command is interrupted; `plexvol node uncordon` ends it. Volumes "
     "that\nare mounted on the node move once their pods have left, and a volume with a single "
     "replica gets a\nsecond one for as long as that takes.\n",
     "is empty", true},
    {"forget", "give up a node that never comes back",
     "Its replicas are rebuilt on other nodes with room. Refused while its agent answers, and "
     "for\nvolumes whose only replica is there.\n",
     "is forgotten", true},
    {"adopt", "let another machine take over this node's name and disks",
     "For a node whose system was reinstalled, or whose disks were moved to another machine. "
     "Until\nthen its agent is refused. Fails while the former machine's agent answers.\n",
     "can now be taken over by the machine that asks for its name", false},
};

void add_change(CLI::App& parent, const CommandContext& context, const Verb& verb) {
  CLI::App* command = parent.add_subcommand(verb.action, verb.what);
  command->footer(std::string(verb.more) + "Example:\n  plexvol node " + verb.action + " n2");
  const auto request = std::make_shared<api::NodeChange>();
  request->action = verb.action;
  command->add_option("NODE", request->name, "as `plexvol node list` calls it")->required();
  command->callback([request, &context, &verb] {
    if (verb.waits) {
      change_and_wait(*request, context);
    } else {
      context.ask(api::kNodeChangePath, api::to_json(*request));
    }
    if (!context.options().json()) print_line("node " + request->name + " " + verb.done);
  });
}

}  // namespace

void add_node_commands(CLI::App& app, const CommandContext& context) {
  CLI::App* noun = app.add_subcommand("node", "list, cordon, drain, forget and adopt nodes");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("list", "list all nodes, their pools and the free space");
  verb->footer("Examples:\n  plexvol node list\n  plexvol node list -o json");
  verb->callback([&context] {
    const std::string result = context.ask(api::kNodeListPath, "{}");
    if (context.options().json()) return print_line(result);
    print_nodes(api::from_json<std::vector<api::NodeInfo>>(result));
  });
  for (const Verb& change : kVerbs) add_change(*noun, context, change);
}

}  // namespace plexvol::driver
