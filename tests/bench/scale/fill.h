// Writes a landscape into a store, and changes volumes in it.
#pragma once

#include <chrono>
#include <string>

#include "agent/store/store.h"
#include "tests/bench/scale/landscape.h"

namespace plexvol::scale {

// By transactions as large as the store takes.
void fill(store::Store& store, const Landscape& landscape);

// So many volumes, evenly over the nodes and the time, each as the service changes one: read, then
// written in one transaction with what wakes the agents concerned.
void change(store::Store& store, const Landscape& landscape, unsigned count,
            std::chrono::milliseconds time);

// No new copy goes to the node from now on; no agent has anything to do about it.
void cordon(store::Store& store, const std::string& node);

}  // namespace plexvol::scale
