// File systems on a block device: what is there, making one, checking one.
#pragma once

#include <string>
#include <vector>

#include "agent/process/runner.h"

namespace plexvol::filesystem {

enum class Content {
  Empty,  // surely: no signature that libblkid knows, and the first and the last MiB read as zeros
  Known,  // libblkid names it
  Unknown,  // data without a signature, contradicting signatures, or a read error: never to be
            // formatted
};

struct Probe {
  Content content = Content::Unknown;
  std::string type;    // "ext4", "xfs", "LVM2_member", "dos", ... when Known
  std::string uuid;    // lower case, when it has one
  std::string detail;  // for people: "ext4 (label \"data\")", "read error at offset 0", ...
};

// Low-level libblkid probing of the device itself, never its cache.
Probe probe(const std::string& device);
// The same by a child, which may hang without us: whoever reads a frozen device never comes back.
// Throws Unavailable when it does not.
Probe probe_apart(const std::string& device);
// Zeros the first and the last MiB and syncs: for a device that was made this moment and whose old
// content is nobody's.
void wipe_ends(const std::string& device);

struct NewFilesystem {
  std::string device;
  std::string type;  // ext4, xfs
  std::string uuid;  // so that an interrupted mkfs can be told from a stranger's file system
  std::vector<std::string> options;  // of parse_mkfs_options
};

// Splits the user's mkfsOptions at blanks and lets through only options that tune the file system
// itself: nothing that names a path or another device, and no force. Throws InvalidArgument naming
// the word.
std::vector<std::string> parse_mkfs_options(const std::string& fs_type, const std::string& text);

// mountOptions of the user ("noatime,discard"): words that are flags of mount(2), and the rest for
// the file system.
struct MountOptions {
  std::vector<std::string> flags;
  std::string data;
  bool read_only = false;
};
// Throws InvalidArgument for what would reach out of the file system (paths, "bind", "remount",
// ...).
MountOptions parse_mount_options(const std::string& text);

class Filesystem {
 public:
  explicit Filesystem(process::Runner& runner);
  // Overwrites: the caller has made sure that nothing of value is there. For xfs, features that
  // kernels before 4.x and 5.x cannot mount are left out as far as the running kernel asks for it
  // (field-lessons 10).
  void make(const NewFilesystem& wanted);
  // fsck in preen mode: replays the journal, mends what is safe to mend without asking. Throws
  // Conflict with the tool's words when a person must look at it. The device must not be mounted.
  // Nothing is done for xfs, whose log is replayed by the mount and whose fsck.xfs does nothing
  // either; xfs_repair is a person's decision.
  void check(const std::string& device, const std::string& type);

 private:
  process::Runner& runner_;
};

}  // namespace plexvol::filesystem
