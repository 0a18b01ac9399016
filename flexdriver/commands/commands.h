// The commands for people: `plexvol volume ...`, `plexvol node ...`, `plexvol version`. Everything else that is typed is a
// FlexVolume call.
#pragma once

#include <string>
#include <vector>

#include "flexdriver/agent_client.h"
#include "flexdriver/settings.h"

namespace CLI {
class App;
}

namespace plexvol::driver {

// "", --help, volume, node, version, ...
bool is_person_command(const std::string& first);
// Exit status 0, 1 when it failed (why is on stderr), 2 when the arguments are wrong.
int run_person_command(int argc, char** argv);

// What every command has at hand.
struct Person {
  Settings settings;
  std::string output;  // "" or "json"
  bool trace = false;

  bool json() const { return output == "json"; }
  // Asks the agent; throws what it says.
  std::string ask(const char* path, const std::string& body) const;
};

void add_volume_commands(CLI::App& app, const Person& person);
void add_node_commands(CLI::App& app, const Person& person);

}  // namespace plexvol::driver
