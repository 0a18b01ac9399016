// What is on a block device.
#pragma once

#include <string>

namespace plexvol::filesystem {

enum class Content {
  // Surely: no signature that libblkid knows, and the first and the last MiB read as zeros.
  Empty,
  // libblkid names it.
  Known,
  // Data without a signature, contradicting signatures, or a read error. Never to be formatted.
  Unknown,
};

struct Probe {
  Content content = Content::Unknown;
  std::string type;    // "ext4", "xfs", "LVM2_member", "dos", ... when Known
  std::string uuid;    // lower case, when it has one
  std::string detail;  // for people: "ext4 (label \"data\")", "read error at offset 0", ...
};

// Low-level libblkid probing of the device itself, never its cache. Strict, for "may this be
// formatted?": all signatures that libblkid knows are looked for.
Probe probe(const std::string& device);
// The same by a child, which may hang: a read of a frozen device does not return.
// Throws Unavailable when it does not.
Probe probe_apart(const std::string& device);
// For a device that was formatted: only this type's superblock is asked for, since what a pod
// writes into its files may look like any other signature to libblkid. Known when it is there;
// ext2, ext3 and ext4 are one family, called "ext4", and its features tell libblkid which. Else
// what probe() says. By a child, too.
Probe probe_formatted_apart(const std::string& device, const std::string& fs_type);
// Zeros the first and the last MiB and syncs: for a device that was made this moment and whose old
// content is nobody's.
void wipe_ends(const std::string& device);

}  // namespace plexvol::filesystem
