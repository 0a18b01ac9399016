// Does one action. Each may have been done already, or half, by a former life of this agent.
#pragma once

#include "agent/reconcile/plan.h"
#include "agent/reconcile/tools.h"

namespace plexvol::reconcile {

// Writes into `seen` what it made, so that no tool need be asked for it, and into `wanted` the set
// as it left it. Throws Error: the pass ends there, and starts from the top later; Unavailable, and
// nothing is done, when the set is another than the one in `wanted`.
void apply(const Action& action, Wanted& wanted, Seen& seen, const Tools& tools);

// What apply() would have a job do first, as Jobs knows it; "" when nothing.
std::string find_job(const std::vector<Action>& actions, const Wanted& wanted, const Seen& seen);

// What such an action rests on must be on this node's disk before it (store/acted.h).
bool acts_on_set(const Action& action);
// After these the backing devices have to be looked at anew.
bool touches_backing(const Action& action);
// After these a pool has more or less free space than before.
bool changes_space(const Action& action);

}  // namespace plexvol::reconcile
