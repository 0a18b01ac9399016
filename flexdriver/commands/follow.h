// Shows how far a change of a volume's copies is, until it is done.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "agent/api/protocol.h"
#include "flexdriver/commands/context.h"

namespace plexvol::driver {

// How far each copy is that is being filled, how fast since it was first told of, and how long that
// would take from here: "n4 41%: 41Gi of 100Gi, 168Mi/s, ~6 min".
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // "" when none is being filled.
  std::string tell(const api::VolumeInfo& volume, Clock::time_point now);

 private:
  struct Begin {
    Clock::time_point at;
    std::uint64_t out_of_sync_bytes = 0;
  };
  std::map<std::string, Begin> begins_;  // by node
};

// Prints a line whenever something of it changes. An agent or a store that does not answer is waited
// for. What was asked for goes on when this is interrupted. With -o json only the end is printed.
void follow(const std::string& volume, const CommandContext& context);

}  // namespace plexvol::driver
