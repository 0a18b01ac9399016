// The nodes as people see them, what is to become of one, and what it still has.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/api/protocol.h"
#include "agent/store/typed_store.h"

namespace plexvol::cluster {

std::vector<api::NodeInfo> list_nodes(store::TypedStore& store);

// May be asked again and again: each time it does what can be done now. `give_own_name_up`: the name
// of this very node moves to the machine that asks for it.
api::NodeChangeReply change_node(store::TypedStore& store, const api::NodeChange& request,
                                 const std::string& here,
                                 const std::function<void()>& give_own_name_up);

}  // namespace plexvol::cluster
