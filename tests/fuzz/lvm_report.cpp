// lvm2's JSON reports.
#include "agent/lvm/lvm.h"
#include "agent/lvm/report.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  attempt([&] { lvm::parse_logical_volumes(bytes); });
  attempt([&] { lvm::parse_volume_groups(bytes); });
  attempt([&] { lvm::parse_thin_pools(bytes); });
  attempt([&] { lvm::accept_only(lvm::parse_physical_volumes(bytes, "vg0")); });
}

}  // namespace plexvol::fuzz
