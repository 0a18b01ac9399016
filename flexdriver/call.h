// The FlexVolume calls, made by a kubelet, a controller-manager, or an administrator by hand.
//
//   init                                  answered from the settings file alone
//   getvolumename                         Not supported: its answer is ignored, and its failure
//                                         blocks silently (fact 32)
//   attach OPTIONS NODE                   -> device
//   waitforattach DEVICE OPTIONS          -> device
//   isattached OPTIONS NODE               -> attached
//   detach NAME NODE
//   mountdevice TARGET DEVICE OPTIONS
//   mount TARGET OPTIONS
//   unmount TARGET, unmountdevice TARGET
//   expandvolume                          Not supported: nobody calls it
//   expandfs OPTIONS DEVICE DIRECTORY NEW OLD
//
// OPTIONS is a JSON object of strings; by hand also @FILE, or - for stdin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "flexdriver/reply.h"
#include "flexdriver/settings.h"
#include "flexdriver/trace.h"

namespace plexvol::driver {

bool is_call(std::string_view name);

// Ends within the settings' timeout (and a few seconds in which a failed mount is undone). Throws
// nothing but bad_alloc: whatever goes wrong is in the reply. A name that is no call is Not
// supported.
Reply answer(const std::string& name, const std::vector<std::string>& arguments,
             const Settings& settings, const Trace& trace);

}  // namespace plexvol::driver
