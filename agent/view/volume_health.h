// What is wrong with the copies of a volume, in words for users. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "agent/api/protocol.h"

namespace plexvol::view {

struct VolumeHealth {
  enum class State {
    Unknown,      // it is being created or deleted, or its record cannot be read
    Healthy,      // a node whose agent is away does not change that while the copies are connected
    Degraded,     // a copy is missing, or the copies are not connected
    Unavailable,  // no copy can be used
  };
  State state = State::Unknown;
  // "one of 2 copies is missing" and why, with what to do where a user has to do something. No time
  // and no progress is in them, so they stay the same while the same is wrong.
  std::string what;
  std::string why;
  // When the first of the missing copies left the current set, in seconds since 1970; 0: not known.
  std::int64_t since = 0;
  // The nodes whose agent's word (ReplicaInfo::error) is part of `why`.
  std::set<std::string> quoted;

  bool is_bad() const { return state == State::Degraded || state == State::Unavailable; }
};

VolumeHealth find_health(const api::VolumeInfo& volume);

// The nodes with its copies, when it has all that it is to have and each of them is in the current
// set; else empty.
std::set<std::string> find_whole_copies(const api::VolumeInfo& volume);

// An agent's error as part of a message: one line, cut.
std::string quote_error(const std::string& error);

}  // namespace plexvol::view
