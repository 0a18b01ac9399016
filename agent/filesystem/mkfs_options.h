// The command line of mkfs.
#pragma once

#include <string>
#include <vector>

#include "agent/filesystem/filesystem.h"

namespace plexvol::filesystem {

// Pure. The whole argv: our defaults where the user's options say nothing else, what this kernel
// cannot mount left out. Throws Unsupported for a type other than ext4 and xfs, InvalidArgument for
// a UUID that is none.
std::vector<std::string> mkfs_command(const NewFilesystem& wanted,
                                      const std::string& kernel_release);

}  // namespace plexvol::filesystem
