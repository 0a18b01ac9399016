#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"
#include "agent/api/text.h"
#include "agent/filepool/filepool.h"
#include "agent/process/descriptor.h"

namespace plexvol::filepool {

namespace {

using Json = nlohmann::json;

struct LoopDevice {
  std::string name;
  std::string backing_file;
  FileNumber file;
};

[[noreturn]] void throw_not_understood(const std::string& what) {
  throw Error(ErrorCode::Internal, "cannot understand losetup's list: " + what);
}

std::string text_of(const Json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end()) throw_not_understood(std::string("no field ") + field);
  return found->is_string() ? found->get<std::string>() : found->dump();
}

template <class Number>
Number number_of(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw_not_understood("no number: " + in_quotes(text));
  }
  return number;
}

FileNumber parse_file_number(const Json& row) {
  // Padded with blanks: "     254:0  ".
  std::string device = text_of(row, "back-maj:min");
  std::erase(device, ' ');
  const std::size_t colon = device.find(':');
  if (colon == std::string::npos) throw_not_understood("no device number: " + in_quotes(device));
  const std::string_view whole = device;
  return {.major = number_of<unsigned>(whole.substr(0, colon)),
          .minor = number_of<unsigned>(whole.substr(colon + 1)),
          .inode = number_of<std::uint64_t>(text_of(row, "back-ino"))};
}

std::vector<LoopDevice> parse_rows(const std::string& losetup_json) {
  // Older ones print nothing when there is none.
  if (losetup_json.find_first_not_of(" \n") == std::string::npos) return {};
  const Json root = Json::parse(losetup_json, nullptr, false);
  if (root.is_discarded() || !root.is_object() || !root.contains("loopdevices") ||
      !root["loopdevices"].is_array()) {
    throw_not_understood(in_quotes(losetup_json));
  }
  std::vector<LoopDevice> devices;
  for (const Json& row : root["loopdevices"]) {
    // One that is being taken down has no file any more.
    if (!row.is_object() || !row.contains("back-file") || row["back-file"].is_null()) continue;
    devices.push_back({.name = text_of(row, "name"),
                       .backing_file = text_of(row, "back-file"),
                       .file = parse_file_number(row)});
  }
  return devices;
}

}  // namespace

std::map<FileNumber, std::string> parse_loop_devices(const std::string& losetup_json) {
  std::map<FileNumber, std::string> devices;
  for (const LoopDevice& device : parse_rows(losetup_json)) {
    devices.try_emplace(device.file, device.name);
  }
  return devices;
}

std::string find_loop_device(const std::map<FileNumber, std::string>& devices,
                             const FileNumber& file) {
  const auto found = devices.find(file);
  return found == devices.end() ? "" : found->second;
}

bool is_loop_device_on(const std::string& device, const FileNumber& file) {
  const process::Descriptor opened(open(device.c_str(), O_RDONLY | O_CLOEXEC));
  loop_info64 info{};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): that is how the kernel is asked
  if (!opened.is_open() || ioctl(opened.get(), LOOP_GET_STATUS64, &info) != 0) return false;
  return info.lo_inode == file.inode && major(info.lo_device) == file.major &&
         minor(info.lo_device) == file.minor;
}

std::vector<std::string> parse_deleted_loop_devices(const std::string& losetup_json,
                                                    const std::string& path) {
  std::vector<std::string> names;
  for (const LoopDevice& device : parse_rows(losetup_json)) {
    if (device.backing_file == path + " (deleted)") names.push_back(device.name);
  }
  return names;
}

}  // namespace plexvol::filepool
