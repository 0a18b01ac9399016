#pragma once

#include "agent/process/hung_tools.h"
#include "agent/process/runner.h"

namespace plexvol::process {

// Runs tools with Boost.Process. Any number of threads may call it. Each tool has a process group
// of its own and dies with this program, also when that is killed. More than 16 MiB of output is an
// Error(Internal). Once made, SIGPIPE is ignored in the whole program: a tool need not read its
// input.
class BoostRunner : public Runner {
 public:
  BoostRunner();
  Output run(const Command& command) override;

 private:
  HungTools hung_;
};

}  // namespace plexvol::process
