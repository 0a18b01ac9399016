// What the commands have in common.
#pragma once

#include <string>

#include "agent/base/deadline.h"
#include "flexdriver/trace.h"

namespace CLI {
class App;
}

namespace plexvol::driver {

struct CommandOptions {
  std::string socket;  // --socket: only this one is tried
  double timeout_seconds = 0;
  std::string output = "table";
  bool trace_word = false;

  bool json() const { return output == "json"; }
};

class CommandContext {
 public:
  CommandContext(const CommandOptions& options, const Trace& trace)
      : options_(options), trace_(trace) {}

  const CommandOptions& options() const { return options_; }
  // Asks the agent once: a person rather hears at once that it is not there.
  std::string ask(const char* path, const std::string& body) const;

 private:
  const CommandOptions& options_;
  const Trace& trace_;
};

// To stdout, with a line break at its end. Control characters in it do not reach the terminal; a
// text from outside that must stay on its line has to be a one_line() of its own.
void print_line(const std::string& text);
// On stderr: what an administrator may want to know, and no program reads.
void print_note(const std::string& text);

// Each adds its noun; a verb that was given runs when the command line has been read.
void add_volume_commands(CLI::App& app, const CommandContext& context);
void add_node_commands(CLI::App& app, const CommandContext& context);
void add_pv_command(CLI::App& app, const CommandContext& context);
void add_store_commands(CLI::App& app, const CommandContext& context);
void add_driver_commands(CLI::App& app, const CommandContext& context);
void add_doctor_command(CLI::App& app, const CommandContext& context);
void add_version_command(CLI::App& app, const CommandContext& context);

}  // namespace plexvol::driver
