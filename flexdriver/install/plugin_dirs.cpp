#include "flexdriver/install/plugin_dirs.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "agent/api/error.h"
#include "flexdriver/system_text.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kLongestFile = 1U << 20U;

constexpr std::array kKnown{
    std::pair{kDefaultPluginDir, "the default, kubeadm"},
    std::pair{"/home/kubernetes/flexvolume", "GKE"},
    std::pair{"/etc/kubernetes/volumeplugins", "AKS"},
    std::pair{"/var/lib/kubelet/volumeplugins", "RKE, Atomic"},
    std::pair{"/var/lib/kubelet/volume-plugins", "old kubespray"},
};

using Words = std::vector<std::string>;

struct Process {
  std::string pid;
  std::string root;  // its own /, as far as we may look into it
  Words words;
};

Words split(const std::string& text, char separator) {
  Words words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// "kubelet ...", and "hyperkube kubelet ...", where one program is all.
bool is_program(const Words& words, std::string_view name) {
  if (words.empty()) return false;
  if (base_name(words[0]) == name) return true;
  return words.size() > 1 && base_name(words[0]) == "hyperkube" && base_name(words[1]) == name;
}

// "--flag=value" or "--flag value", with one dash as well; the last one counts, as with Go's flags.
std::optional<std::string> find_flag(const Words& words, std::string_view flag) {
  std::optional<std::string> value;
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!word.starts_with('-')) continue;
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    if (word == flag && i + 1 < words.size()) value = words[i + 1];
    if (word.starts_with(flag) && word.substr(flag.size()).starts_with('=')) {
      value = word.substr(flag.size() + 1);
    }
  }
  return value;
}

std::optional<std::string> find_in_config(const Process& kubelet, const std::string& root) {
  const auto file = find_flag(kubelet.words, "config");
  auto text = file ? read_file(kubelet.root + *file, kLongestFile) : std::nullopt;
  if (file && !text) text = read_file(root + *file, kLongestFile);
  if (!text) return std::nullopt;
  constexpr std::string_view kKey = "volumePluginDir:";
  for (const std::string& line : split(*text, '\n')) {
    if (!line.starts_with(kKey)) continue;
    std::string value = line.substr(kKey.size());
    std::erase_if(value, [](char c) { return c == ' ' || c == '"' || c == '\'' || c == '\r'; });
    if (!value.empty()) return value;
  }
  return std::nullopt;
}

std::vector<Process> list_processes(const std::string& proc) {
  std::vector<Process> processes;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(proc.c_str()), &::closedir);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, one stream
  for (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr; entry != nullptr;
       entry = ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string files = std::string(proc).append("/").append(pid);
    const auto text = read_file(files + "/cmdline", kLongestFile);
    if (!text || text->empty()) continue;
    processes.push_back({.pid = pid, .root = files + "/root", .words = split(*text, '\0')});
  }
  return processes;
}

bool is_same_folder(const std::string& one, const std::string& other) {
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// A kubelet in a container has its own files: what it calls DIR must be this node's DIR.
void require_nodes_own(const PluginDir& dir, const Process& process, const std::string& root) {
  struct stat info {};
  if (::stat((process.root + "/").c_str(), &info) != 0) return;  // nobody may look there
  if (is_same_folder(process.root + "/", root + "/")) return;
  if (is_same_folder(process.root + dir.path, root + dir.path)) return;
  throw Error(
      ErrorCode::Conflict,
      std::string(base_name(process.words[0])) + " (pid " + process.pid +
          ") runs in a container, where " + dir.path +
          " is not this node's folder of that name: mount it there from the node, or name with "
          "--plugin-dir the folder of this node that is mounted there");
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

void add(std::vector<PluginDir>& found, PluginDir dir) {
  while (dir.path.size() > 1 && dir.path.ends_with('/')) dir.path.pop_back();
  const bool known = std::any_of(found.begin(), found.end(),
                                 [&](const PluginDir& other) { return other.path == dir.path; });
  if (!known) found.push_back(std::move(dir));
}

PluginDir dir_of_kubelet(const Process& kubelet, const std::string& root) {
  if (const auto flag = find_flag(kubelet.words, "volume-plugin-dir")) {
    return {*flag, "the kubelet's --volume-plugin-dir"};
  }
  if (const auto key = find_in_config(kubelet, root)) {
    return {*key, "volumePluginDir in the kubelet's configuration file"};
  }
  return {kDefaultPluginDir, "the kubelet's default: its command line names none"};
}

PluginDir dir_by_table(const std::string& root) {
  std::vector<PluginDir> there;
  for (const auto& [path, who] : kKnown) {
    if (is_directory(root + path)) there.push_back({path, std::string("it exists (") + who + ")"});
  }
  const std::string advice =
      "no kubelet is seen among the processes of this machine, and {}; name the directory with "
      "--plugin-dir (in a container: hostPID makes the kubelet visible)";
  const auto refuse = [&](ErrorCode code, const std::string& what) {
    throw Error(code, std::string(advice).replace(advice.find("{}"), 2, what));
  };
  if (there.empty()) refuse(ErrorCode::NotFound, "none of the usual plugin directories exists");
  if (there.size() > 1) {
    refuse(ErrorCode::Conflict,
           "both " + there[0].path + " and " + there[1].path + " exist as plugin directories");
  }
  return there.front();
}

}  // namespace

std::vector<PluginDir> find_plugin_dirs(const std::string& proc, const std::string& root) {
  std::vector<PluginDir> found;
  const std::vector<Process> processes = list_processes(proc);
  for (const Process& process : processes) {
    if (!is_program(process.words, "kubelet")) continue;
    const PluginDir dir = dir_of_kubelet(process, root);
    require_nodes_own(dir, process, root);
    add(found, dir);
  }
  if (found.empty()) add(found, dir_by_table(root));
  for (const auto& [pid, own, words] : processes) {
    if (!is_program(words, "kube-controller-manager") && !is_program(words, "controller-manager")) {
      continue;
    }
    const auto flag = find_flag(words, "flex-volume-plugin-dir");
    add(found, {flag.value_or(kDefaultPluginDir), "the controller-manager's", true});
  }
  return found;
}

}  // namespace plexvol::driver
