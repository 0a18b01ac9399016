#include "agent/process/open_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "agent/process/child.h"
#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

constexpr std::chrono::seconds kLimit{2};
constexpr std::chrono::seconds kPatientLimit{10};
// What a child finds.
constexpr int kCannotTell = 100;

using Path = std::array<char, 64>;

// "/proc/4711/fd/3", in a child, where nothing may be allocated.
Path path_in_proc(pid_t pid, const char* file, int number) {
  Path path{};
  if (number < 0) {
    std::snprintf(path.data(), path.size(), "/proc/%d/%s", pid, file);
  } else {
    std::snprintf(path.data(), path.size(), "/proc/%d/%s/%d", pid, file, number);
  }
  return path;
}

std::optional<unsigned> mount_id_of(std::string_view info) {
  static constexpr std::string_view kKey = "mnt_id:";
  const std::size_t at = info.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  info.remove_prefix(at + kKey.size());
  info.remove_prefix(std::min(info.find_first_not_of(" \t"), info.size()));
  unsigned id = 0;
  const auto [end, error] = std::from_chars(info.data(), info.data() + info.size(), id);
  if (error != std::errc{}) return std::nullopt;
  return id;
}

bool is_among(const std::vector<mounts::DeviceNumber>& devices, unsigned major, unsigned minor) {
  return std::any_of(devices.begin(), devices.end(), [&](const mounts::DeviceNumber& one) {
    return one.major == major && one.minor == minor;
  });
}

// The file itself is opened as a mere path, and its attributes are what its kernel has in memory:
// so neither FUSE nor another server is asked.
int look_at_file(const OpenFile& file, const std::vector<mounts::DeviceNumber>& devices) {
  const int path = open(path_in_proc(file.pid, "fd", file.descriptor).data(), O_PATH | O_CLOEXEC);
  if (path < 0) {
    const bool has_gone = errno == ENOENT || errno == ESRCH;
    return has_gone ? static_cast<int>(FileKind::Other) : kCannotTell;
  }
  struct statx found {};
  int result = statx(path, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MODE, &found);
  if (result != 0 && errno == ENOSYS) {  // a kernel before 4.11
    struct stat status {};
    result = fstat(path, &status);
    found.stx_mode = static_cast<std::uint16_t>(status.st_mode);
    found.stx_rdev_major = major(status.st_rdev);
    found.stx_rdev_minor = minor(status.st_rdev);
    found.stx_dev_major = major(status.st_dev);
    found.stx_dev_minor = minor(status.st_dev);
  }
  close(path);
  if (result != 0) return kCannotTell;
  if (S_ISBLK(found.stx_mode) && is_among(devices, found.stx_rdev_major, found.stx_rdev_minor)) {
    return static_cast<int>(FileKind::Device);
  }
  const bool is_on_it = is_among(devices, found.stx_dev_major, found.stx_dev_minor);
  return static_cast<int>(is_on_it ? FileKind::OnDevice : FileKind::Other);
}

// Whether it has a file of them mapped.
int look_at_maps(pid_t pid, const std::vector<mounts::DeviceNumber>& devices) {
  const int file = open(path_in_proc(pid, "maps", -1).data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT || errno == ESRCH ? 0 : kCannotTell;
  MapsReader reader(devices);
  std::array<char, 8192> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): is read into
  int found = 0;
  while (found == 0) {
    const ssize_t count = read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != ESRCH) found = kCannotTell;
    if (count <= 0) break;
    if (reader.feed(buffer.data(), static_cast<std::size_t>(count))) found = 1;
  }
  close(file);
  return found;
}

}  // namespace

void for_each_open_file(
    pid_t pid, const std::function<bool(const OpenFile&, const std::string& path)>& visit) {
  // mnt_id is among the first lines; behind them there may be as many locks as somebody likes.
  constexpr std::size_t kEnough = 512;
  strict::for_each_number(path_of(pid, "fd"), [&](int descriptor) {
    const std::string number = std::to_string(descriptor);
    const auto path = strict::read_link(path_of(pid, "fd/" + number));
    // Sockets, pipes and the like are on no mount.
    if (!path || !path->starts_with('/')) return true;
    const auto info = strict::read_text_file(path_of(pid, "fdinfo/" + number), kEnough);
    const auto mount_id = info ? mount_id_of(*info) : std::nullopt;
    if (!mount_id) return true;
    return visit({.pid = pid, .descriptor = descriptor, .mount_id = *mount_id}, *path);
  });
}

void NodeMounts::add(const mounts::MountEntry& entry) {
  static constexpr std::array<std::string_view, 3> kMemory{"devtmpfs", "tmpfs", "ramfs"};
  static constexpr std::array<std::string_view, 5> kDisk{"ext2", "ext3", "ext4", "xfs", "btrfs"};
  const auto is_in = [&](const auto& types) {
    return std::find(types.begin(), types.end(), entry.fs_type) != types.end();
  };
  (is_in(kMemory) ? of_memory_ : is_in(kDisk) ? of_disks_ : others_).insert(entry.id);
}

bool NodeMounts::may_be_device(const OpenFile& file, const std::string& path) const {
  if (of_memory_.contains(file.mount_id)) return true;
  if (of_disks_.contains(file.mount_id)) return path.starts_with("/dev/");
  return !others_.contains(file.mount_id);
}

std::vector<std::optional<FileKind>> find_kinds(const std::vector<OpenFile>& files,
                                                const std::vector<mounts::DeviceNumber>& devices) {
  const auto findings = look_in_children(
      files.size(), [&](std::size_t at) { return look_at_file(files[at], devices); }, kLimit);
  std::vector<std::optional<FileKind>> kinds(files.size());
  for (std::size_t at = 0; at < files.size(); ++at) {
    if (findings[at] && *findings[at] != kCannotTell) {
      kinds[at] = static_cast<FileKind>(*findings[at]);
    }
  }
  return kinds;
}

std::vector<std::optional<bool>> find_mapped(const std::vector<pid_t>& pids,
                                             const std::vector<mounts::DeviceNumber>& devices) {
  auto findings = look_in_children(
      pids.size(), [&](std::size_t at) { return look_at_maps(pids[at], devices); }, kLimit);
  std::vector<std::optional<bool>> mapped(pids.size());
  for (std::size_t at = 0; at < pids.size(); ++at) {
    // A busy machine is no hang.
    if (!findings[at] && !hangs_in_kernel(pids[at])) {
      findings[at] = run_in_child([&] { return look_at_maps(pids[at], devices); }, kPatientLimit);
    }
    if (findings[at] && *findings[at] != kCannotTell) mapped[at] = *findings[at] == 1;
  }
  return mapped;
}

// "7f..-7f.. r--p 00000000 fd:01 393    /path": the path may hold anything but a line break.
bool MapsReader::feed(const char* text, std::size_t length) {
  constexpr int kDeviceColumn = 3;
  for (std::size_t at = 0; at < length; ++at) {
    const char letter = text[at];
    if (letter == '\n') {
      column_ = 0;
    } else if (letter == ' ') {
      if (column_ == kDeviceColumn && is_one_of_them()) return true;
      if (column_ <= kDeviceColumn) ++column_;
      in_minor_ = false;
      major_ = 0;
      minor_ = 0;
    } else if (column_ == kDeviceColumn && letter == ':') {
      in_minor_ = true;
    } else if (column_ == kDeviceColumn) {
      const bool is_digit = letter >= '0' && letter <= '9';
      const auto digit = static_cast<unsigned>(is_digit ? letter - '0' : letter - 'a' + 10);
      unsigned& number = in_minor_ ? minor_ : major_;
      number = number * 16 + digit;
    }
  }
  return false;
}

bool MapsReader::is_one_of_them() const {
  return is_among(devices_, major_, minor_);
}

}  // namespace plexvol::process
