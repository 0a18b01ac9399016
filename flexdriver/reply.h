// The one JSON object that a FlexVolume call answers with.
#pragma once

#include <optional>
#include <string>

#include "flexdriver/settings.h"

namespace plexvol::driver {

// The three statuses that Kubernetes knows. The first NotSupported switches a call off for all
// volumes until the caller restarts (contract fact 11), so it is never an answer about one volume.
enum class Status { Success, Failure, NotSupported };

struct Reply {
  Status status = Status::Success;
  std::string message = {};
  std::optional<std::string> device = {};
  std::optional<bool> attached = {};
  std::optional<Capabilities> capabilities = {};
};

// On one line, without the line break. Never throws for what is in the texts: what is no UTF-8 is
// replaced.
std::string to_json(const Reply& reply);

// 0 when what was asked for was done, else 1; callers take "Not supported" with either (contract
// fact 4).
int exit_status(const Reply& reply);

// Writes it to stdout. A caller that is gone is no error: there is nobody left to tell.
void print(const Reply& reply);

}  // namespace plexvol::driver
