// What is known of the text of a configuration file besides making it. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace plexvol::drbd {

// Throws InvalidArgument for a name that DRBD's tools do not take, or take for something else.
void check_resource_name(const std::string& name);

// The minor of a file that to_config made. nullopt when it is not one.
std::optional<unsigned> find_minor(std::string_view config);

// Those of its lines that say between whom the connection is and by which secret.
std::string connection_lines(std::string_view config);

// All lines but those that say how fast a resync runs.
std::string without_resync_options(std::string_view config);

}  // namespace plexvol::drbd
