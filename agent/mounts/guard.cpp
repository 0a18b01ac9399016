#include "agent/mounts/guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/base/files.h"
#include "agent/mounts/mountinfo.h"

namespace plexvol::mounts {

namespace {

constexpr std::string_view kGuardSource = "plexvol-guard:";
constexpr std::string_view kPlaceholderSource = "plexvol-volume:";
constexpr std::string_view kOwnPlugins = "plexvol~";
constexpr const char* kTmpfs = "tmpfs";
// Beside the flag: which volume is missing when nothing is mounted. Only root can set or see it.
constexpr const char* kVolumeAttribute = "trusted.plexvol.volume";
constexpr std::size_t kLongestName = 255;

[[noreturn]] void fail(const std::string& what, const std::string& path, int error) {
  throw Error(ErrorCode::Internal, path + ": " + what + ": " + base::error_text(error));
}

// The mount that the descriptor's file was reached by; "" on kernels before 3.15.
std::string mount_id(int fd) {
  static constexpr std::string_view kKey = "mnt_id:";
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with(kKey)) continue;
    const std::size_t begin = line.find_first_not_of(" \t", kKey.size());
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

bool on_same_mount(int one, int other) {
  const std::string id = mount_id(one);
  if (!id.empty()) return id == mount_id(other);
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev;
}

// The source of the mount with this number if it is one of our tmpfs, else "".
std::string find_guard_source(const std::string& id, const std::string& root) {
  std::string source;
  for_each_mount(root.empty() ? "/proc/self/mountinfo" : "/proc/1/mountinfo",
                 [&](const MountEntry& entry) {
                   if (std::to_string(entry.id) != id) return true;
                   if (is_guard(entry.fs_type, entry.source)) source = entry.source;
                   return false;
                 });
  return source;
}

// A directory by its name in its parent, so that it can be told from what is mounted on it.
struct Place {
  base::Descriptor parent;
  std::string name;
  base::Descriptor
      directory;  // a path only: nothing of a file system that is mounted here is asked
  bool mounted = false;
};

// nullopt: there is no such directory.
std::optional<Place> find_place(const std::string& path, const std::string& root) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string parent_path = root + path.substr(0, slash + 1);
  Place place{
      .parent = base::Descriptor(::open(parent_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      .name = path.substr(slash + 1),
      .directory = base::Descriptor(-1)};
  if (!place.parent.is_open()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail("cannot open the directory above", path, errno);
  }
  const int directory = ::openat(place.parent.get(), place.name.c_str(),
                                 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return std::nullopt;
    fail("cannot open the directory", path, errno);
  }
  const bool mounted = !on_same_mount(place.parent.get(), directory);
  return Place{.parent = std::move(place.parent),
               .name = std::move(place.name),
               .directory = base::Descriptor(directory),
               .mounted = mounted};
}

// Of a mount: the source of our tmpfs, or "". A volume is a block device, and costs no more look.
std::string guard_on(const Place& place, const std::string& root) {
  struct stat found {};
  if (::fstat(place.directory.get(), &found) != 0 || ::major(found.st_dev) != 0) return "";
  const std::string id = mount_id(place.directory.get());
  return id.empty() ? "" : find_guard_source(id, root);
}

// For ioctl(2). Not open: something was mounted on it meanwhile, or it is gone.
base::Descriptor open_bare(const Place& place) {
  base::Descriptor directory(
      ::openat(place.parent.get(), place.name.c_str(),
               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (directory.is_open() && !on_same_mount(place.parent.get(), directory.get()))
    return base::Descriptor(-1);
  return directory;
}

// nullopt: the file system has no such flags.
std::optional<int> read_flags(int directory) {
  int flags = 0;
  if (::ioctl(directory, FS_IOC_GETFLAGS, &flags) != 0) return std::nullopt;
  return flags;
}

bool is_immutable(int directory) {
  return (read_flags(directory).value_or(0) & FS_IMMUTABLE_FL) != 0;
}

// 0 or an errno.
int write_immutable(int directory, bool wanted) {
  const auto before = read_flags(directory);
  if (!before) return errno;
  int flags = wanted ? *before | FS_IMMUTABLE_FL : *before & ~FS_IMMUTABLE_FL;
  return flags == *before || ::ioctl(directory, FS_IOC_SETFLAGS, &flags) == 0 ? 0 : errno;
}

bool set_flag(int directory, const std::string& volume) {
  if (!read_flags(directory)) return false;
  if (is_immutable(directory)) return true;
  // Before the flag, which would forbid it. Only for people: it may fail.
  ::fsetxattr(directory, kVolumeAttribute, volume.data(), volume.size(), 0);
  // Some file systems answer success and keep nothing: FUSE, and others below overlayfs.
  if (write_immutable(directory, true) == 0 && is_immutable(directory)) return true;
  ::fremovexattr(directory, kVolumeAttribute);
  return false;
}

std::string read_volume(int directory) {
  std::array<char, kLongestName> name{};
  const ssize_t length = ::fgetxattr(directory, kVolumeAttribute, name.data(), name.size());
  return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : "";
}

// Whoever looks at new mounts makes one busy for a moment.
void unmount_guard(const std::string& path) {
  constexpr int kAttempts = 20;
  constexpr std::chrono::milliseconds kPause(50);
  for (int attempt = 1; ::umount2(path.c_str(), UMOUNT_NOFOLLOW) != 0; ++attempt) {
    if (errno != EBUSY || attempt == kAttempts) fail("cannot unmount its guard", path, errno);
    std::this_thread::sleep_for(kPause);
  }
}

struct Listing {
  base::Descriptor directory;
  std::vector<std::string> names;  // without "." and ".."
};

// Empty when it cannot be read.
Listing list_directory(int parent, const std::string& name) {
  Listing listing{.directory = base::Descriptor(::openat(
                      parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)),
                  .names = {}};
  if (!listing.directory.is_open()) return listing;
  base::Descriptor copy(::fcntl(listing.directory.get(), F_DUPFD_CLOEXEC, 0));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy.get()), &::closedir);
  if (!stream) return listing;
  copy.release();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): this directory stream is ours alone
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string found = static_cast<const char*>(entry->d_name);
    if (found != "." && found != "..") listing.names.push_back(found);
  }
  return listing;
}

}  // namespace

std::optional<PodVolume> parse_pod_volume(const std::string& path) {
  std::string rest = path;
  const auto take_last = [&rest] {
    const std::size_t slash = rest.rfind('/');
    if (slash == std::string::npos) return std::string();
    std::string part = rest.substr(slash + 1);
    rest.resize(slash);
    return part;
  };
  PodVolume volume;
  volume.name = take_last();
  volume.plugin = take_last();
  const std::string volumes = take_last();
  volume.pod = take_last();
  volume.pods = rest;
  const bool complete = !volume.name.empty() && !volume.plugin.empty() && !volume.pod.empty();
  if (!complete || volumes != "volumes" || !rest.ends_with("/pods")) return std::nullopt;
  return volume;
}

std::string to_path(const PodVolume& volume) {
  return volume.pods + '/' + volume.pod + "/volumes/" + volume.plugin + '/' + volume.name;
}

std::string guard_source(const std::string& volume) {
  return std::string(kGuardSource) + volume;
}

bool is_guard(std::string_view fs_type, std::string_view source) {
  return fs_type == kTmpfs && source.starts_with(kGuardSource);
}

std::string placeholder_source(const std::string& volume) {
  return std::string(kPlaceholderSource) + volume;
}

bool is_placeholder(std::string_view fs_type, std::string_view source) {
  return fs_type == kTmpfs && source.starts_with(kPlaceholderSource);
}

void mount_empty(const std::string& path, const std::string& source) {
  constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount(source.c_str(), path.c_str(), kTmpfs, kFlags, "size=4k,mode=0555") != 0) {
    fail("cannot mount an empty tmpfs", path, errno);
  }
}

std::optional<Bare> find_bare(const std::string& path, const std::string& root) {
  const auto place = find_place(path, root);
  if (!place) return std::nullopt;
  if (place->mounted) {
    const std::string source = guard_on(*place, root);
    if (source.empty()) return std::nullopt;
    return Bare{.guarded = true, .volume = source.substr(kGuardSource.size())};
  }
  const base::Descriptor directory = open_bare(*place);
  if (!directory.is_open()) return std::nullopt;
  if (!is_immutable(directory.get())) return Bare{};
  return Bare{.guarded = true, .volume = read_volume(directory.get())};
}

void set_guard(const std::string& path, const std::string& volume) {
  const auto place = find_place(path, "");
  if (!place) fail("cannot be guarded", path, ENOENT);
  if (place->mounted) {
    if (!guard_on(*place, "").empty()) return;
    fail("cannot be guarded, since something is mounted there", path, EBUSY);
  }
  const base::Descriptor directory = open_bare(*place);
  if (!directory.is_open()) fail("cannot be guarded", path, errno);
  if (!set_flag(directory.get(), volume)) mount_empty(path, guard_source(volume));
}

void clear_guard(const std::string& path) {
  auto place = find_place(path, "");
  while (place && place->mounted) {
    if (guard_on(*place, "").empty()) return;
    place.reset();  // its descriptor is in the way
    unmount_guard(path);
    place = find_place(path, "");
  }
  if (!place) return;
  const base::Descriptor directory = open_bare(*place);
  if (!directory.is_open() || !is_immutable(directory.get())) return;
  const int error = write_immutable(directory.get(), false);
  if (error != 0) fail("cannot take the immutable flag away (chattr -i)", path, error);
}

Removal remove_bare(const std::string& path, const std::string& root) {
  const auto place = find_place(path, root);
  if (!place) return Removal::Removed;
  if (place->mounted) return Removal::Mounted;
  const base::Descriptor directory = open_bare(*place);
  if (!directory.is_open()) return Removal::Mounted;
  const bool was_immutable = is_immutable(directory.get());
  int error = was_immutable ? write_immutable(directory.get(), false) : 0;
  if (error != 0) fail("cannot take the immutable flag away (chattr -i)", path, error);
  if (::unlinkat(place->parent.get(), place->name.c_str(), AT_REMOVEDIR) == 0) {
    return Removal::Removed;
  }
  error = errno;
  if (was_immutable) write_immutable(directory.get(), true);
  switch (error) {
    case ENOENT:
      return Removal::Removed;
    case EBUSY:
      return Removal::Mounted;
    case ENOTEMPTY:
    case EEXIST:
      return Removal::NotEmpty;
    default:
      fail("cannot be removed", path, error);
  }
}

std::vector<PodVolume> list_pod_volumes(const std::string& pods, const std::string& root) {
  std::vector<PodVolume> found;
  const Listing all = list_directory(AT_FDCWD, root + pods);
  for (const std::string& pod : all.names) {
    const Listing plugins = list_directory(all.directory.get(), pod + "/volumes");
    for (const std::string& plugin : plugins.names) {
      if (!plugin.starts_with(kOwnPlugins)) continue;
      for (const std::string& name : list_directory(plugins.directory.get(), plugin).names) {
        found.push_back({.pods = pods, .pod = pod, .plugin = plugin, .name = name});
      }
    }
  }
  return found;
}

}  // namespace plexvol::mounts
