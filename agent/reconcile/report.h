// Tells the store, this agent's calls and its other passes how a pass over a volume has ended.
#pragma once

#include <optional>
#include <string>

#include "agent/reconcile/executor.h"
#include "agent/reconcile/load.h"

namespace plexvol::reconcile {

struct PassResult {
  const std::string& volume;
  const std::optional<Loaded>& loaded;
  const Seen& seen;
  const Effects& effects;
  bool only_arbitrated = false;  // a job runs, and what it works on was not looked at
  std::optional<Error> error{};
};

// What this node says of the volume. REQUIRES result.loaded.
model::Status make_status(const PassResult& result, const Shared& shared);

// For this agent's other passes.
void record_seen(const PassResult& result, Shared& shared);

// Wakes the node of a former copy: it waits for the set, and for what both nodes say of themselves.
void wake_former(const PassResult& result, Shared& shared);

// All of it. Answers the error of the pass, or why the store could not be told: then it is still to
// be told, by another pass.
std::optional<Error> report(const PassResult& result, Shared& shared);

}  // namespace plexvol::reconcile
