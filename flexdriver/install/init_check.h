// Tries a driver out before kubelets do.
#pragma once

#include <string>

#include "flexdriver/install/trusted_dir.h"

namespace plexvol::driver {

// Executes this very file, whatever its name stands for by now, with the argument `init`. Throws
// Internal when it does not answer Success within ten seconds. `path` is for messages.
void require_init(const base::Descriptor& program, const std::string& path);
// The same of a trusted file. Throws NotFound when there is none.
void require_init(const TrustedDir& folder, const std::string& name);

}  // namespace plexvol::driver
