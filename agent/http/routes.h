// Which path is which call of the service.
#pragma once

#include <functional>
#include <vector>

#include "agent/http/server.h"
#include "agent/process/trace_log.h"
#include "agent/service/service.h"

namespace plexvol::http {

// `examine` answers a doctor's call.
Handler make_routes(service::Service& service, const process::TraceLog& trace,
                    std::function<std::vector<api::Finding>()> examine);

}  // namespace plexvol::http
