#include "agent/filesystem/stacked.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "agent/api/error.h"
#include "agent/base/files.h"
#include "agent/base/text.h"
#include "agent/process/child.h"
#include "agent/process/strict_proc.h"

namespace plexvol::filesystem {

namespace {

using mounts::DeviceNumber;
namespace strict = process::strict;

constexpr std::chrono::seconds kStackedLimit{2};

std::string folder_of(DeviceNumber device, const std::string& sys) {
  return fmt::format("{}/dev/block/{}:{}", sys, device.major, device.minor);
}

void for_each_name(const std::string& folder,
                   const std::function<void(const std::string&)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(folder.c_str()), &closedir);
  if (!stream && (errno == ENOENT || errno == ENOTDIR)) return;
  if (!stream) {
    throw Error(ErrorCode::Unavailable,
                fmt::format("{}: cannot be read ({}), so the users of a volume cannot be found",
                            folder, base::error_text(errno)));
  }
  // readdir is safe here: the stream is this thread's own.
  while (const dirent* entry = readdir(stream.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string name = static_cast<const char*>(entry->d_name);
    if (!name.starts_with('.')) visit(name);
  }
}

std::string line_of(const std::string& path) {
  std::string text = strict::read_text_file(path).value_or("");
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// "253:3"
std::optional<DeviceNumber> number_in(const std::string& path) {
  const std::string text = line_of(path);
  const char* end = text.data() + text.size();
  DeviceNumber number;
  const auto major = std::from_chars(text.data(), end, number.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != ':') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, number.minor);
  if (minor.ec != std::errc{}) return std::nullopt;
  return number;
}

DeviceNumber device_of(std::uint64_t encoded) {
  return {.major = ::major(encoded), .minor = ::minor(encoded)};
}

// Of LoopPlace. In a child.
int look_at_loop(const char* path, DeviceNumber number, const std::vector<DeviceNumber>& devices) {
  const int unknown = static_cast<int>(LoopPlace::Unknown);
  const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return unknown;
  struct stat status {};
  loop_info64 info{};
  const bool is_it =
      fstat(file, &status) == 0 && S_ISBLK(status.st_mode) && device_of(status.st_rdev) == number;
  const int error = !is_it ? EINVAL : ioctl(file, LOOP_GET_STATUS64, &info) == 0 ? 0 : errno;
  close(file);
  if (error == ENXIO) return static_cast<int>(LoopPlace::Elsewhere);  // detached meanwhile
  if (error != 0) return unknown;
  const DeviceNumber holder = device_of(info.lo_device);
  const DeviceNumber node = device_of(info.lo_rdevice);
  const bool is_on_them = std::find_if(devices.begin(), devices.end(), [&](const auto& one) {
                            return one == holder || one == node;
                          }) != devices.end();
  if (is_on_them) return static_cast<int>(LoopPlace::OnDevices);
  return holder.major == 0 ? unknown : static_cast<int>(LoopPlace::Elsewhere);
}

}  // namespace

std::string kernel_name(DeviceNumber device, const std::string& sys) {
  const std::string link = strict::read_link(folder_of(device, sys)).value_or("");
  return base::base_name(link);
}

std::vector<StackedDevice> list_holders(DeviceNumber device, const std::string& sys) {
  std::vector<StackedDevice> holders;
  const std::string folder = folder_of(device, sys) + "/holders";
  for_each_name(folder, [&](const std::string& name) {
    const auto number = number_in(folder + "/" + name + "/dev");
    if (!number) return;
    const std::string alias = line_of(folder + "/" + name + "/dm/name");
    holders.push_back(
        {.number = *number, .name = alias.empty() ? name : fmt::format("{} ({})", name, alias)});
  });
  return holders;
}

std::vector<StackedDevice> list_partitions(DeviceNumber device, const std::string& sys) {
  std::vector<StackedDevice> partitions;
  const std::string folder = folder_of(device, sys);
  const std::string whole = kernel_name(device, sys);
  for_each_name(folder, [&](const std::string& name) {
    if (!name.starts_with(whole)) return;
    if (const auto number = number_in(folder + "/" + name + "/dev")) {
      partitions.push_back({.number = *number, .name = name});
    }
  });
  return partitions;
}

std::vector<Loop> list_loops(const std::string& sys) {
  std::vector<Loop> loops;
  for_each_name(sys + "/block", [&](const std::string& name) {
    if (!name.starts_with("loop")) return;
    const std::string folder = sys + "/block/" + name;
    std::string file = line_of(folder + "/loop/backing_file");
    const auto number = number_in(folder + "/dev");
    if (number && !file.empty()) {
      loops.push_back({.number = *number, .name = name, .backing_file = std::move(file)});
    }
  });
  return loops;
}

std::vector<LoopPlace> find_loop_places(const std::vector<Loop>& loops,
                                        const std::vector<DeviceNumber>& devices) {
  std::vector<std::string> paths;
  paths.reserve(loops.size());
  for (const Loop& loop : loops) paths.push_back("/dev/" + loop.name);
  const auto findings = process::look_in_children(
      loops.size(),
      [&](std::size_t at) { return look_at_loop(paths[at].c_str(), loops[at].number, devices); },
      kStackedLimit);
  std::vector<LoopPlace> places;
  places.reserve(findings.size());
  for (const auto& finding : findings) {
    places.push_back(finding ? static_cast<LoopPlace>(*finding) : LoopPlace::Unknown);
  }
  return places;
}

// Both have a folder in /sys while they have the device mounted, however hidden the mount is.
bool has_filesystem_mounted(DeviceNumber device, const std::string& sys) {
  const std::string name = kernel_name(device, sys);
  if (name.empty()) return false;
  return access((sys + "/fs/ext4/" + name).c_str(), F_OK) == 0 ||
         access((sys + "/fs/xfs/" + name).c_str(), F_OK) == 0;
}

}  // namespace plexvol::filesystem
