// What can be set on the command line of plexvol-controller.
#pragma once

#include <string>
#include <vector>

#include "agent/kube/client.h"

namespace plexvol::controller {

struct Settings {
  kube::ClientSettings server;  // default: in the cluster that this pod runs in
  std::string identity;         // of this process, for the others; default: the host's name
  std::string ns;               // where the lock is; default: the pod's
  std::string agent_socket;
  bool failover = true;  // pods of dead nodes are deleted
  std::string log_level = "info";
};

struct CommandLine {
  std::string answer;  // --help, --version: to be printed, and nothing else is to be done
  Settings settings;
};

// Throws InvalidArgument.
CommandLine read_command_line(std::vector<std::string> words);

}  // namespace plexvol::controller
