#include "agent/filesystem/mount_table.h"

#include <deque>
#include <iterator>
#include <map>
#include <utility>

#include "agent/filesystem/stacked.h"
#include "agent/process/namespaces.h"

namespace plexvol::filesystem {

using mounts::DeviceNumber;
using mounts::MountEntry;

namespace {

constexpr const char* kHostTable = "/proc/1/mountinfo";
constexpr std::size_t kMostListed = 1024;

}  // namespace

std::vector<std::vector<std::string>> list_mounts(const std::vector<MountedThing>& things) {
  std::multimap<DeviceNumber, std::size_t> of_device;
  std::map<std::string, std::size_t> of_placeholder;
  for (std::size_t at = 0; at < things.size(); ++at) {
    of_device.emplace(things[at].device, at);
    if (!things[at].placeholder.empty()) of_placeholder[things[at].placeholder] = at;
  }
  std::vector<std::deque<std::string>> found;
  const auto add = [&](std::size_t at, const MountEntry& entry) {
    found[at].push_back(entry.mount_point);
    if (found[at].size() > kMostListed) found[at].pop_front();
  };
  mounts::for_each_mount(
      kHostTable, [&] { found.assign(things.size(), {}); },
      [&](const MountEntry& entry) {
        const auto [first, last] = of_device.equal_range(entry.device());
        for (auto device = first; device != last; ++device) add(device->second, entry);
        if (entry.fs_type != "tmpfs") return true;
        const auto placeholder = of_placeholder.find(entry.source);
        if (placeholder != of_placeholder.end()) add(placeholder->second, entry);
        return true;
      });
  std::vector<std::vector<std::string>> lists;
  lists.reserve(found.size());
  for (auto& points : found) {
    lists.emplace_back(std::make_move_iterator(points.begin()),
                       std::make_move_iterator(points.end()));
  }
  return lists;
}

std::vector<std::string> list_mounts(unsigned major, unsigned minor,
                                     const std::string& placeholder) {
  return list_mounts({{.device = {.major = major, .minor = minor}, .placeholder = placeholder}})
      .front();
}

bool is_mounted_anywhere(unsigned major, unsigned minor) {
  const DeviceNumber device{.major = major, .minor = minor};
  if (has_filesystem_mounted(device)) return true;
  bool found = false;
  const process::MountNamespaces spaces;
  for (const process::MountNamespace& space : spaces.all()) {
    if (found) break;
    process::MountNamespaces::for_each_mount(space, [&](const MountEntry& entry) {
      found = found || entry.device() == device;
      return !found;
    });
  }
  return found;
}

}  // namespace plexvol::filesystem
