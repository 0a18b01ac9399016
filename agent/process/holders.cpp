#include "agent/process/holders.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "agent/api/error.h"
#include "agent/mounts/mountinfo.h"
#include "agent/process/namespaces.h"
#include "agent/process/open_files.h"
#include "agent/process/proc.h"

namespace plexvol::process {

namespace {

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

std::vector<std::string> list_mount_points(mounts::DeviceNumber device) {
  constexpr std::size_t kMost = 5;
  std::vector<std::string> points;
  const auto is_its = [&](const mounts::MountEntry& entry) { return entry.device() == device; };
  for (const auto& entry : mounts::select_mounts("/proc/1/mountinfo", is_its, kMost)) {
    points.push_back(entry.mount_point);
  }
  return points;
}

}  // namespace

std::vector<pid_t> list_openers(unsigned major, unsigned minor) {
  const MountNamespaces spaces;
  NodeMounts node_mounts;
  std::vector<pid_t> pids{getpid()};
  for (const MountNamespace& space : spaces.all()) {
    MountNamespaces::for_each_mount(space, [&](const mounts::MountEntry& entry) {
      node_mounts.add(entry);
      return true;
    });
    for (const strict::Process& process : space.processes) pids.push_back(process.pid);
  }
  std::vector<OpenFile> nodes;
  for (const pid_t pid : pids) {
    for_each_open_file(pid, [&](const OpenFile& file, const std::string& path) {
      if (node_mounts.may_be_device(file, path)) nodes.push_back(file);
      return true;
    });
  }
  const auto kinds = find_kinds(nodes, {{.major = major, .minor = minor}});
  std::vector<pid_t> openers;
  for (std::size_t at = 0; at < nodes.size(); ++at) {
    const bool is_known = !openers.empty() && openers.back() == nodes[at].pid;
    if (kinds[at] == FileKind::Device && !is_known) openers.push_back(nodes[at].pid);
  }
  return openers;
}

std::string holders_to_text(const std::string& device) {
  struct stat status {};
  if (stat(device.c_str(), &status) != 0 || !S_ISBLK(status.st_mode))
    return "nothing: the device no longer exists";
  const unsigned device_major = major(status.st_rdev);
  const unsigned device_minor = minor(status.st_rdev);
  const std::string number = fmt::format("{}:{}", device_major, device_minor);
  std::string text;
  const auto add = [&](const std::string& holder) { text += (text.empty() ? "" : ", ") + holder; };
  for (const std::string& point : list_mount_points({.major = device_major, .minor = device_minor}))
    add("mounted on " + point);
  for (const std::string& name : list_devices_above(number))
    add(fmt::format("device {} on top of it", name));
  try {
    for (const pid_t pid : list_openers(device_major, device_minor)) {
      add(fmt::format("process {} ({})", pid, command_of(pid)));
    }
  } catch (const Error& error) {
    add(fmt::format("perhaps others ({})", error.what()));
  }
  return text.empty() ? "nothing that can be seen (perhaps a mount in another mount namespace)"
                      : text;
}

}  // namespace plexvol::process
