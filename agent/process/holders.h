// Who holds a block device, for the message that says that it is in use.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace plexvol::process {

// Processes that have the block device itself open, in any container. Touches no file of theirs.
// Throws when it cannot tell (see strict_proc.h).
std::vector<pid_t> list_openers(unsigned major, unsigned minor);

// For people: "process 4711 (mkfs.ext4)", "device dm-3 on top of it", "mounted on /mnt". "nothing
// that can be seen (...)" when there is none.
std::string holders_to_text(const std::string& device);

}  // namespace plexvol::process
