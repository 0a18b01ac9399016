#include "agent/process/holders.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

// Only what leads into a /dev is looked at: stat of another file may hang with its file system.
bool is_device(const std::string& link, dev_t number) {
  if (!read_link(link).starts_with("/dev/")) return false;
  struct stat status {};
  return stat(link.c_str(), &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == number;
}

std::vector<std::string> list_devices_above(const std::string& number) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/dev/block/" + number + "/holders", error)) {
    std::string name = entry.path().filename().string();
    std::string alias = read_text_file(entry.path().string() + "/dm/name");
    while (alias.ends_with('\n')) alias.pop_back();
    if (!alias.empty()) name.append(" (").append(alias).append(")");
    names.push_back(std::move(name));
  }
  return names;
}

std::vector<std::string> list_mount_points(const std::string& number) {
  std::vector<std::string> points;
  std::istringstream lines(read_text_file("/proc/1/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    std::string point;
    if (words >> id >> parent >> device >> root >> point && device == number) {
      points.push_back(point);
    }
  }
  return points;
}

}  // namespace

std::vector<pid_t> list_openers(unsigned major, unsigned minor) {
  const dev_t number = makedev(major, minor);
  std::vector<pid_t> openers;
  for (const pid_t pid : list_processes()) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd/";
    for (const int descriptor : list_descriptors(pid)) {
      if (!is_device(folder + std::to_string(descriptor), number)) continue;
      openers.push_back(pid);
      break;
    }
  }
  return openers;
}

std::string holders_to_text(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return "nobody: it is gone";
  const unsigned device_major = major(status.st_rdev);
  const unsigned device_minor = minor(status.st_rdev);
  const std::string number = std::to_string(device_major) + ":" + std::to_string(device_minor);
  std::string text;
  const auto add = [&](const std::string& holder) { text += (text.empty() ? "" : ", ") + holder; };
  for (const std::string& point : list_mount_points(number)) add("mounted on " + point);
  for (const std::string& name : list_devices_above(number))
    add("device " + name + " on top of it");
  for (const pid_t pid : list_openers(device_major, device_minor)) {
    add("process " + std::to_string(pid) + " (" + command_of(pid) + ")");
  }
  return text.empty() ? "nobody that can be seen (a mount in another mount namespace?)" : text;
}

}  // namespace plexvol::process
