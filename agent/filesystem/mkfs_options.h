// The command line of mkfs, and what users may ask of it.
#pragma once

#include <string>
#include <vector>

#include "agent/filesystem/filesystem.h"

namespace plexvol::filesystem {

// Splits the user's mkfsOptions at blanks and lets through only options that tune the file system
// itself: nothing that names a path or another device, and no force. Throws InvalidArgument naming
// the word.
std::vector<std::string> parse_mkfs_options(const std::string& fs_type, const std::string& text);

// Pure. The whole argv: our defaults where the user's options say nothing else, what this kernel
// cannot mount left out. Throws Unsupported for a type other than ext4 and xfs, InvalidArgument for
// a UUID that is none.
std::vector<std::string> mkfs_command(const NewFilesystem& wanted,
                                      const std::string& kernel_release);

}  // namespace plexvol::filesystem
