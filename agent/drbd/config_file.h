// Files that are written whole and renamed into their place.
#pragma once

#include <optional>
#include <string>

#include "agent/drbd/drbd.h"

namespace plexvol::drbd {

// <directory>/<name>.res; the metadata of a resource that is being made; and what exists while the
// kernel has not been told of the first.
std::string config_path(const Settings& settings, const std::string& name);
std::string dump_path(const Settings& settings, const std::string& name);
std::string untold_path(const Settings& settings, const std::string& name);

// nullopt when there is none. Throws Internal when it cannot be read.
std::optional<std::string> read_file(const std::string& path);
// Mode 0600, in a folder that is made when it is missing, on the disk before it returns. A crash
// leaves the old file or the new one.
void replace_file(const std::string& path, const std::string& text);

}  // namespace plexvol::drbd
