// Kills the processes that use a device.
#pragma once

namespace plexvol::filesystem {

// SIGKILL for every process that uses the device, in any mount namespace. Returns when each of them
// is gone, or hangs in the kernel with the signal pending: it will never run its own code again, so
// it cannot hear how its write has ended. Throws Conflict when the kernel itself still uses the
// device after that (an export, a swap file, a loop device or an overlay that is left), Unavailable
// when somebody new appears again and again, and whatever find_use() throws: then nothing may be
// thawed.
void kill_users(unsigned major, unsigned minor);

}  // namespace plexvol::filesystem
