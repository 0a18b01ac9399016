// Which path is which call of the service.
#pragma once

#include "agent/http/server.h"
#include "agent/process/trace_log.h"
#include "agent/service/service.h"

namespace plexvol::http {

Handler make_routes(service::Service& service, const process::TraceLog& trace);

}  // namespace plexvol::http
