// File systems on a block device: making one, checking one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::filesystem {

struct NewFilesystem {
  std::string device;
  std::string type;  // ext4, xfs
  // Tells the file system of our interrupted mkfs from anybody else's.
  std::string uuid;
  std::vector<std::string> options;  // of parse_mkfs_options
  // Releases of the other kernels that are to mount it; "" and what is none count as very old.
  std::vector<std::string> kernels{};
};

// Of the running kernel: "6.1.0-38-amd64".
std::string kernel_release();

class Filesystem {
 public:
  explicit Filesystem(process::Runner& runner);
  // Overwrites: the caller has made sure that nothing of value is there. Features that the oldest
  // of the kernels cannot mount are left out. Throws Internal also when mkfs
  // ended well, but the file system is not there.
  void make(const NewFilesystem& wanted);
  // Asks mkfs without letting it write: throws InvalidArgument, with its words, when it would not
  // make such a file system of this size. `device` of `wanted` is not looked at.
  void try_make(const NewFilesystem& wanted, std::uint64_t size_bytes);
  // fsck in preen mode: replays the journal, mends what is safe to mend without asking. Throws
  // Conflict with the tool's words, and with `how_to_look`, when an administrator must look at it.
  // The device must not be mounted. Nothing is done for xfs, whose log is replayed by the mount and
  // whose fsck.xfs does nothing either; xfs_repair is an administrator's decision.
  //
  // An e2fsck that is older than the file system looks at nothing. Where the superblock records no
  // errors, a preen would have done no more than replay the journal, which the kernel's mount does
  // as well, and a kernel that does not know the file system refuses it: so this is no error then.
  // Where it does record errors: Unsupported.
  void check(const std::string& device, const std::string& type, const std::string& how_to_look);

 private:
  process::Runner& runner_;
};

}  // namespace plexvol::filesystem
