// The actions that change the current set; for apply.cpp only. Each does nothing when the set is
// not the one that was planned from: then all but put_back() throw set_changed(). They leave the
// set as it is then in `wanted`.
#pragma once

#include <string>

#include "agent/reconcile/plan.h"
#include "agent/reconcile/tools.h"

namespace plexvol::reconcile {

Error set_changed(const std::string& volume);

void ask_arbiter(const std::string& peer, Wanted& wanted, const Tools& tools);
void leave_set(Wanted& wanted, const Tools& tools);
void take_out_peer(const std::string& peer, Wanted& wanted, const Tools& tools);
void use_forced(Wanted& wanted, const Tools& tools);
// It is the last of a plan: `wanted` stays as it is.
void put_back(const std::string& peer, const Wanted& wanted, const Tools& tools);

}  // namespace plexvol::reconcile
