// What whoever writes a manifest decides: options, mount options, mkfs options, names and sizes.
#include "agent/flexvolume/options.h"

#include "agent/api/names.h"
#include "agent/filesystem/mkfs_options.h"
#include "agent/filesystem/mount_options.h"
#include "flexdriver/options_text.h"
#include "flexdriver/settings.h"
#include "tests/fuzz/target.h"

namespace plexvol::fuzz {

void run(const std::string& bytes) {
  // Those name a file, or stdin.
  if (!bytes.starts_with('@') && bytes != "-") {
    attempt([&] { flexvolume::parse_options(driver::read_options(bytes)); });
  }
  for (const char* type : {"ext4", "xfs"}) {
    attempt([&] { filesystem::parse_mkfs_options(type, bytes); });
  }
  attempt([&] { filesystem::parse_mount_options(bytes); });
  attempt([&] { check_volume_name(bytes); });
  attempt([&] { check_node_name(bytes); });
  attempt([&] { size_to_text(parse_size_bytes(bytes)); });
  driver::parse_settings(bytes, "/folder");
}

}  // namespace plexvol::fuzz
