#include "agent/drbd/known_faults.h"

#include <fmt/core.h>

#include <array>

#include "agent/base/version.h"

namespace plexvol::drbd {
namespace {

using base::Version;

struct KnownFault {
  Version from{};
  Version fixed{};  // this one is good again
  const char* what = "";
};

// The first by the announcement of 8.4.2 (September 2012), the second by the module's source
// ("Ignoring fence-peer exit code" came with 8.4.4), the third by the announcement of 9.0.26
// (December 2020), the fourth by the change log of 9.1.7.
constexpr std::array kFaults{
    KnownFault{{0, 0, 0}, {8, 4, 0}, "older than 8.4, whose commands Plexvol uses"},
    KnownFault{{8, 4, 0}, {8, 4, 2}, "a resync may overwrite a newer block with an older one"},
    KnownFault{
        {8, 4, 2}, {8, 4, 4}, "it accepts an answer of the fence handler that comes too late"},
    KnownFault{{9, 0, 0}, {9, 0, 26}, "a write at the start of a resync may not be mirrored"},
    KnownFault{{9, 1, 0},
               {9, 1, 7},
               "frozen I/O may be acknowledged too early, and a resync may be forgotten"},
};

}  // namespace

std::string find_known_fault(const std::string& module_version) {
  const Version version = base::parse_version(module_version);  // unreadable: refused
  for (const KnownFault& fault : kFaults) {
    if (version < fault.from || version >= fault.fixed) continue;
    const auto& [major, minor, patch] = fault.fixed;
    return fmt::format("DRBD {}: {}; upgrade to {}.{}.{} or later", module_version, fault.what,
                       major, minor, patch);
  }
  return "";
}

}  // namespace plexvol::drbd
