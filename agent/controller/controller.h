// What the leader does: claims become volumes, released volumes go, nodes' labels follow the copies.
#pragma once

#include <stop_token>

#include "agent/controller/node_agent.h"
#include "agent/controller/settings.h"
#include "agent/kube/client.h"

namespace plexvol::controller {

// Puts the parts together and runs them until it is stopped. Throws when it cannot begin.
void lead(kube::Client& client, const NodeAgent& agent, const Settings& settings,
          const std::stop_token& stop);

}  // namespace plexvol::controller
