// DRBD's user-mode callback: `plexvol EVENT RESOURCE`, run by the kernel with DRBD_* in the
// environment and possibly without any open descriptor.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "flexdriver/settings.h"
#include "flexdriver/trace.h"

namespace plexvol::driver {

// One of DRBD's handlers by name. A later DRBD may know more: whoever has DRBD_* in its environment
// asks as DRBD does.
bool is_drbd_event(std::string_view event);

// The DRBD_* part of an environment as execve(2) gives it, ended by a null pointer.
std::map<std::string, std::string> drbd_environment(const char* const* environment);

struct DrbdEvent {
  std::string event;
  std::string object;
  std::map<std::string, std::string> environment;
};

// The exit status that DRBD is answered with. `fence-peer`: the agent's word; 1 when it cannot be
// had within 60 s (or the settings' timeout, when that is shorter), so what is frozen stays frozen.
// Every other event is only reported, and always answered with 0: anything else would break a
// resynchronisation (DRBD trap 7).
int report_drbd_event(const DrbdEvent& event, const Settings& settings, const Trace& trace);

}  // namespace plexvol::driver
