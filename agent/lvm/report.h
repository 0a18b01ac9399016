// Words and numbers of lvm2's JSON reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plexvol::lvm {

// The device names of `pvs -o pv_name,vg_name` that belong to the group. Throws Error(Internal).
std::vector<std::string> parse_physical_volumes(const std::string& json,
                                                const std::string& volume_group);

// The device filter: exactly these devices, all others rejected. Throws Error(Unsupported) for a
// device name that cannot be put into one.
std::string accept_only(const std::vector<std::string>& devices);
// For the search of a group's physical volumes. Volumes' own devices are never among them: what is
// inside a volume is its user's, and one suspended device would hang every lvm command.
std::string accept_disks();

}  // namespace plexvol::lvm
