#include "agent/mounts/users.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <vector>

#include "agent/api/text.h"
#include "agent/base/files.h"

namespace plexvol::mounts {

namespace {

constexpr std::size_t kMostNamed = 5;
constexpr std::size_t kLargestText = 4096;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> list_numbers(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(path.c_str()));
  if (!directory) return names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): this directory stream is ours alone
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = static_cast<const char*>(entry->d_name);
    const bool is_number =
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_number) names.push_back(name);
  }
  return names;
}

// The text of the link, never what it leads to.
bool leads_into(const std::string& link, const std::string& directory) {
  std::array<char, PATH_MAX> text{};
  const ssize_t length = ::readlink(link.c_str(), text.data(), text.size());
  if (length <= 0) return false;
  const std::string path(text.data(), static_cast<std::size_t>(length));
  return path == directory || path.starts_with(directory + '/');
}

bool has_open(const std::string& process, const MountEntry& entry, base::Deadline deadline) {
  const std::string wanted = "mnt_id:\t" + std::to_string(entry.id) + '\n';
  const std::string links = process + "/fd/";
  const std::string infos = process + "/fdinfo/";
  for (const std::string& number : list_numbers(links)) {
    if (base::Clock::now() >= deadline) return false;
    const auto info = base::read_file(std::string(infos).append(number), kLargestText);
    // Kernels before 3.15 do not say the mount: then the path has to do.
    const bool says_mount = info && info->find("mnt_id:") != std::string::npos;
    if (says_mount ? info->find(wanted) != std::string::npos
                   : leads_into(std::string(links).append(number), entry.mount_point)) {
      return true;
    }
  }
  return false;
}

bool uses(const std::string& process, const MountEntry& entry, base::Deadline deadline) {
  for (const char* link : {"/cwd", "/root", "/exe"}) {
    if (leads_into(process + link, entry.mount_point)) return true;
  }
  return has_open(process, entry, deadline);
}

}  // namespace

std::string describe_users(const MountEntry& entry, base::Deadline deadline) {
  std::vector<std::string> found;
  const auto lies_on_it = [&](const MountEntry& other) { return other.parent_id == entry.id; };
  for (const MountEntry& other : select_mounts("/proc/self/mountinfo", lies_on_it, kMostNamed)) {
    found.push_back(describe(other) + " mounted on " + other.mount_point);
  }
  for (const std::string& number : list_numbers("/proc")) {
    if (found.size() >= kMostNamed || base::Clock::now() >= deadline) break;
    const std::string process = "/proc/" + number;
    if (!uses(process, entry, deadline)) continue;
    const std::string name =
        one_line(base::read_file(process + "/comm", kLargestText).value_or("?"));
    found.push_back(std::string("process ").append(number).append(" (").append(name).append(")"));
  }
  std::string text;
  for (const std::string& user : found) text += (text.empty() ? "" : ", ") + user;
  return text;
}

}  // namespace plexvol::mounts
