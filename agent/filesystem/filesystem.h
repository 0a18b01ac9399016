// File systems on a block device: what is there, making one, checking one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/process/runner.h"

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
// The same by a child, which may hang without us: whoever reads a frozen device never comes back.
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
