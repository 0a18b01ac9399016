// Makes a file system as large as its device, while it is mounted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plexvol::filesystem {

// ext4 or xfs on the device of this number and size, mounted at one of these in process 1's mount
// namespace. No error when it is as large. Throws Unavailable when no mount leads to it, when all are
// read-only, or when the kernel takes too long; Internal with the kernel's words.
//
// By the calls that resize2fs(8) and xfs_growfs(8) make themselves: those look for the mount among
// their own, where a container has none of the pods'.
void grow_mounted(const std::string& type, unsigned major, unsigned minor, std::uint64_t size_bytes,
                  const std::vector<std::string>& mounts);

}  // namespace plexvol::filesystem
