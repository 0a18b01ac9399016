// A golden trio: what is wanted, what is seen, and what is planned then. One file of tests/plan/
// (tests/plan/README.md has its form).
#pragma once

#include <string>

#include "agent/reconcile/plan.h"

namespace plexvol::reconcile {

struct PlanFile {
  std::string head;  // up to the expected part, as it is written again
  Wanted wanted;
  Seen seen;
  std::string expected;
};

// Throws std::runtime_error naming the file and the member that is unknown or has no such value.
PlanFile read_plan_file(const std::string& path);

// The actions, one a line; after "--- arbitration" those of plan_arbitration(), when there are any.
std::string plan_in_text(const Wanted& wanted, const Seen& seen);

}  // namespace plexvol::reconcile
