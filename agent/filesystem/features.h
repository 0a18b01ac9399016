// File system features that older kernels cannot mount.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace plexvol::filesystem {

// One option of mkfs: its letter with the hyphen, and one key of its value ("-m", "reflink=0").
using FeatureOption = std::pair<std::string, std::string>;

// Pure. What mkfs has to leave out for a kernel of this release ("3.10.0-1160.el7.x86_64", of
// uname). Distributions that carry newer features in older kernels lose some of them here; that is
// the safe side. An unreadable release counts as old.
std::vector<FeatureOption> features_to_leave_out(const std::string& fs_type,
                                                 const std::string& kernel_release);

// Pure. The one of these releases that knows least; one that cannot be read is older than all
// others. "" when there is none.
std::string find_oldest_kernel(const std::vector<std::string>& releases);

}  // namespace plexvol::filesystem
