// A key under a lease that is kept for as long as the object lives.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agent/store/etcd_client.h"

namespace plexvol::store {

// The key exists when it returns. Throws as EtcdClient does, and Error(Conflict) when a condition
// does not hold.
std::unique_ptr<Presence> make_etcd_presence(std::shared_ptr<EtcdClient> client, LeasedKey key,
                                             std::chrono::seconds ttl);

}  // namespace plexvol::store
