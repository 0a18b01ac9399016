// The limits that store.h states for a transaction, held by every implementation alike, so that a
// transaction that works on one node also works on etcd.
#pragma once

#include "agent/store/store.h"

namespace plexvol::store {

// Throws Error(Internal): such a transaction is a mistake of ours, and etcd would refuse it only
// sometimes.
void check_transaction(const Transaction& transaction);

// The same for keys that are read together.
void check_keys(const std::vector<std::string>& keys);

// "volumes/v1 and 2 more", for messages.
std::string to_text(const Transaction& transaction);

}  // namespace plexvol::store
