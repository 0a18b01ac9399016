// What is mounted where, as the kernel tells it in /proc/PID/mountinfo: the only parser of it, for
// driver and agent.
//
// The text is hostile: users choose mount points, sources and options, a table may have a hundred
// thousand lines, and a path any bytes. Nothing here keeps more than one line, or touches the
// mounted file systems themselves.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plexvol::mounts {

struct DeviceNumber {
  unsigned major = 0;
  unsigned minor = 0;

  // clang-tidy 14 takes what the compiler makes for a null pointer.
  auto operator<=>(const DeviceNumber&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct MountEntry {
  unsigned id = 0;  // unique among the mounts of all namespaces
  unsigned parent_id = 0;
  unsigned peer_group = 0;  // of mount propagation: shares with it ("shared:N"), 0 when it does not
  unsigned master = 0;      // receives from it ("master:N")
  unsigned major = 0;
  unsigned minor = 0;
  std::string root;         // of the mount within its file system
  std::string mount_point;  // as seen from the root directory of the process that was asked
  bool read_only = false;   // of the mount point, not of the file system
  std::string fs_type;
  std::string source;
  // Of the file system, with the kernel's escapes: commas of a value are escaped, those between
  // options are not.
  std::string super_options;
  bool is_cut = false;  // the line was too long: source and super_options may lack their ends

  DeviceNumber device() const { return {.major = major, .minor = minor}; }
};

// Pure. nullopt for a line that is no mountinfo.
std::optional<MountEntry> parse_line(std::string_view line);

// Pure. Undoes octal escapes: "\040" is a blank.
std::string unescape(std::string_view text);

// Puts the pieces of a stream together into lines. A line longer than kLongestLine is passed on
// without its end.
class LineReader {
 public:
  // No path makes a line so long: root and mount point are four bytes for each of at most PATH_MAX.
  static constexpr std::size_t kLongestLine = 128UL * 1024;
  // The visitor answers whether it wants more lines.
  using Visitor = std::function<bool(std::string_view line, bool is_cut)>;

  explicit LineReader(Visitor visit) : visit_(std::move(visit)) {}
  // false: the visitor wants no more.
  bool feed(std::string_view piece);
  // The last line, when it does not end with a line break.
  void finish();

 private:
  bool end_line();

  Visitor visit_;
  std::string line_;
  bool is_cut_ = false;
};

// Answers whether it wants to see more entries.
using EntryVisitor = std::function<bool(const MountEntry&)>;

// Reads a mountinfo file and shows each entry to the visitor. Lines that cannot be understood are
// left out: they concern nothing but their own mount. Kernels before 5.8 may leave out a line while
// somebody mounts or unmounts, so the file is read again, up to four times in all, until nobody did
// so meanwhile; the visitor then sees the same entries again. Throws NotFound when the process has
// ended, Unavailable when there are no descriptors or no memory left, and Internal for anything
// else.
void for_each_mount(const std::string& path, const EntryVisitor& visit);
// The same, with `begin` called before each reading, for who wants to keep the last one only.
void for_each_mount(const std::string& path, const std::function<void()>& begin,
                    const EntryVisitor& visit);

// The entries that `wanted` accepts, in the kernel's order; the last `most` of them, when there are
// more. As of the last reading of for_each_mount(), so it is exact unless somebody mounts or
// unmounts all the time. Throws as that does.
std::vector<MountEntry> select_mounts(const std::string& path,
                                      const std::function<bool(const MountEntry&)>& wanted,
                                      std::size_t most = 4096);

// What is mounted on the path itself in this process's mount namespace, in the order in which it
// was mounted: the last one is seen. Throws as for_each_mount() does.
std::vector<MountEntry> mounts_on(const std::string& path);

// "/dev/drbd1000 (147:1000, ext4)"
std::string describe(const MountEntry& entry);

}  // namespace plexvol::mounts
