#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "flexdriver/commands/context.h"
#include "flexdriver/commands/table.h"

namespace plexvol::driver {

namespace {

std::string pool_text(const api::PoolInfo& pool) {
  std::string text = pool.name + " (" + pool.type + ", " + size_to_text(pool.free_bytes) + " of " +
                     size_to_text(pool.total_bytes) + " free)";
  if (!pool.error.empty()) text += " " + pool.error;
  return text;
}

// A line for each pool: a node's own columns stand in the first of them.
void print_nodes(const std::vector<api::NodeInfo>& nodes) {
  std::vector<std::vector<std::string>> rows{
      {"NAME", "STATE", "ADDRESS", "VERSION", "DRBD", "POOLS"}};
  for (const api::NodeInfo& node : nodes) {
    rows.push_back({node.name, node.alive ? "up" : "DOWN", node.address, node.version,
                    node.drbd_version, node.pools.empty() ? "" : pool_text(node.pools.front())});
    for (std::size_t i = 1; i < node.pools.size(); ++i) {
      rows.push_back({" ", " ", " ", " ", " ", pool_text(node.pools[i])});
    }
  }
  print_line(format_table(rows));
}

}  // namespace

void add_node_commands(CLI::App& app, const CommandContext& context) {
  CLI::App* noun = app.add_subcommand("node", "the nodes of the cluster");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("list", "all nodes, their pools and what is free in them");
  verb->footer("Examples:\n  plexvol node list\n  plexvol node list -o json");
  verb->callback([&context] {
    const std::string result = context.ask(api::kNodeListPath, "{}");
    if (context.options().json()) return print_line(result);
    print_nodes(api::from_json<std::vector<api::NodeInfo>>(result));
  });
}

}  // namespace plexvol::driver
