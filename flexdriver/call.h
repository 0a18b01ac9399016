// The FlexVolume calls: what each is given, what is asked of the agent, what is mounted (contract, section 1.5).
#pragma once

#include <string>
#include <vector>

#include "flexdriver/reply.h"
#include "flexdriver/settings.h"
#include "flexdriver/trace.h"

namespace plexvol::driver {

// Also true of calls that are known and not offered.
bool is_flexvolume_call(const std::string& name);

// `arguments` begins with the call's name. Never throws: whatever goes wrong is a reply.
Reply make_call(const std::vector<std::string>& arguments, const Settings& settings,
                const Trace& trace);

}  // namespace plexvol::driver
