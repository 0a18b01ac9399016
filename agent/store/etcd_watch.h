// A watch on etcd that survives everything: lost connections, restarts, compactions, restored
// backups.
#pragma once

#include <memory>
#include <string>

#include "agent/store/etcd_client.h"

namespace plexvol::store {

std::unique_ptr<Watch> make_etcd_watch(std::shared_ptr<EtcdClient> client,
                                       const std::string& prefix, ChangeHandler on_change);

}  // namespace plexvol::store
