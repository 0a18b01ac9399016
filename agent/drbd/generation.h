// The two generations of DRBD that differ in the words of configuration, metadata and commands.
//
// Nine has never been run against its kernel module, which Debian does not have. What is tested:
// its configuration with the real drbdadm, its metadata with the real drbdmeta; its commands and
// events only as text, by drbdsetup(8) of 9.22. So it is used only where drbd.newest says so, and
// whatever is different for it stands behind this word.
#pragma once

#include <string_view>

namespace plexvol::drbd {

enum class Generation { Eight, Nine };

// By the module's version: "9.1.7", "9.2.0-rc.4".
inline Generation generation_of(std::string_view module_version) {
  return module_version.starts_with("9.") ? Generation::Nine : Generation::Eight;
}

}  // namespace plexvol::drbd
