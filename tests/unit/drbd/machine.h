// A machine's files of DRBD's module, and tools that answer as told.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/drbd/drbd.h"
#include "tests/support/scripted_runner.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::drbd {

struct Machine {
  support::TemporaryDirectory directory;
  support::ScriptedRunner runner;
  ModuleFiles module{.directory = path("module"), .proc = path("proc")};
  Drbd drbd{runner, {.config_directory = path("config"), .module = module}};

  std::string path(const std::string& name) const { return (directory.path() / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name)) << text;
  }
  std::string make_program(const std::string& name) const {
    write(name, "#!/bin/sh\n");
    std::filesystem::permissions(path(name), std::filesystem::perms::owner_all);
    return path(name);
  }
};

}  // namespace plexvol::drbd
