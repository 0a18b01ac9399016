// What the API server means by a reply that is no success. Private to agent/kube.
#pragma once

#include <string>

#include "agent/api/error.h"
#include "agent/kube/json.h"
#include "agent/kube/transport.h"

namespace plexvol::kube {

// As the head of client.h says. `what`: the verb and the path, without its query.
Error to_error(const std::string& what, const HttpReply& reply);

// Of a Status object that came as an event of a watch.
Error to_error(const std::string& what, const JsonValue& status);

// Of a Status object; 0 when it has none.
long code_of(const JsonValue& status);

// "GET /api/v1/nodes", for messages.
std::string describe(const HttpRequest& request);

}  // namespace plexvol::kube
