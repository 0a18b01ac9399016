// Which path is which call of which door.
#pragma once

#include <functional>
#include <vector>

#include "agent/commands/commands.h"
#include "agent/flexvolume/flexvolume.h"
#include "agent/http/server.h"
#include "agent/process/trace_log.h"

namespace plexvol::http {

struct Doors {
  flexvolume::FlexVolume& flexvolume;
  commands::Commands& commands;
  std::function<api::HelperReply(const api::HelperRequest&)> answer_drbd;
  std::function<std::vector<api::Finding>()> examine;  // the doctor's
};

Handler make_routes(Doors doors, const process::TraceLog& trace);

}  // namespace plexvol::http
