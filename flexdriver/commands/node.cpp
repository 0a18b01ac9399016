// plexvol node list
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/api/names.h"
#include "agent/api/protocol.h"
#include "flexdriver/commands/commands.h"
#include "flexdriver/commands/table.h"

namespace plexvol::driver {

namespace {

void print_nodes(const std::vector<api::NodeInfo>& nodes) {
  Table table({"NODE", "AGENT", "ADDRESS", "VERSION", "DRBD", "POOL", "TYPE", "SIZE", "FREE"});
  std::string faults;
  for (const auto& node : nodes) {
    const auto dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    std::vector<std::string> row{node.name, node.alive ? "alive" : "away", dash(node.address),
                                 node.version, dash(node.drbd_version)};
    if (node.pools.empty()) table.add(row);
    for (const auto& pool : node.pools) {
      std::vector<std::string> line = row;
      for (const std::string& cell : {pool.name, pool.type, size_to_text(pool.total_bytes),
                                      size_to_text(pool.free_bytes)}) {
        line.push_back(cell);
      }
      table.add(line);
      row.assign(row.size(), "");
      if (!pool.error.empty()) {
        faults += "\n" + node.name + ", pool " + pool.name + ": " + pool.error + "\n";
      }
    }
  }
  std::fputs((table.to_text() + faults).c_str(), stdout);
}

}  // namespace

void add_node_commands(CLI::App& app, const Person& person) {
  auto* nodes = app.add_subcommand("node", "The cluster's nodes and their pools");
  nodes->require_subcommand(1);
  nodes->add_subcommand("list", "All nodes that an agent has ever run on")->callback([&person] {
    const std::string result = person.ask(api::kNodeListPath, "{}");
    if (person.json()) {
      std::puts(result.c_str());
    } else {
      print_nodes(api::from_json<std::vector<api::NodeInfo>>(result));
    }
  });
}

}  // namespace plexvol::driver
