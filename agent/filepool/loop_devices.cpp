#include <fcntl.h>
#include <fmt/core.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/filepool/filepool.h"
#include "agent/process/proc.h"

namespace plexvol::filepool {

namespace {

constexpr const char* kBlockDevices = "/sys/block";

// nullopt: there is no such device, it is on no file, or the kernel does not tell.
std::optional<FileNumber> ask(const std::string& device) {
  const base::Descriptor opened(open(device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  loop_info64 info{};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): that is how the kernel is asked
  if (!opened.is_open() || ioctl(opened.get(), LOOP_GET_STATUS64, &info) != 0) return std::nullopt;
  return FileNumber{
      .major = major(info.lo_device), .minor = minor(info.lo_device), .inode = info.lo_inode};
}

}  // namespace

std::vector<LoopDevice> list_loop_devices() {
  std::vector<LoopDevice> devices;
  std::error_code error;
  std::filesystem::directory_iterator entries(kBlockDevices, error);
  if (error) {
    throw Error(ErrorCode::Internal, fmt::format("cannot list the loop devices: {}: {}",
                                                 kBlockDevices, error.message()));
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("loop")) continue;
    // Missing while it is on no file. The name of a file may hold any byte, also a line feed; the
    // kernel adds one.
    std::string file = process::read_text_file(entry.path().string() + "/loop/backing_file");
    if (file.empty()) continue;
    file.pop_back();
    devices.push_back({.device = "/dev/" + name, .backing_file = std::move(file)});
  }
  return devices;
}

std::map<FileNumber, std::string> list_loop_devices_by_file() {
  std::map<FileNumber, std::string> devices;
  for (const LoopDevice& loop : list_loop_devices()) {
    if (const auto file = ask(loop.device)) devices.try_emplace(*file, loop.device);
  }
  return devices;
}

std::string find_loop_device(const std::map<FileNumber, std::string>& devices,
                             const FileNumber& file) {
  const auto found = devices.find(file);
  return found == devices.end() ? "" : found->second;
}

bool is_loop_device_on(const std::string& device, const FileNumber& file) {
  return ask(device) == file;
}

std::vector<std::string> list_deleted_loop_devices(const std::string& path) {
  std::vector<std::string> names;
  for (const LoopDevice& loop : list_loop_devices()) {
    if (loop.backing_file == path + " (deleted)") names.push_back(loop.device);
  }
  return names;
}

}  // namespace plexvol::filepool
