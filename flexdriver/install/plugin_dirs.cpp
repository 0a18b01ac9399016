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

std::optional<std::string> find_in_config(const Words& kubelet, const std::string& root) {
  const auto file = find_flag(kubelet, "config");
  const auto text = file ? read_file(root + *file, kLongestFile) : std::nullopt;
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

std::vector<Words> list_commands(const std::string& proc) {
  std::vector<Words> commands;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(proc.c_str()), &::closedir);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread, one stream
  for (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr; entry != nullptr;
       entry = ::readdir(folder.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string name = entry->d_name;
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto text =
        read_file(std::string(proc).append("/").append(name).append("/cmdline"), kLongestFile);
    if (text && !text->empty()) commands.push_back(split(*text, '\0'));
  }
  return commands;
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

PluginDir dir_of_kubelet(const Words& kubelet, const std::string& root) {
  if (const auto flag = find_flag(kubelet, "volume-plugin-dir")) {
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
  const std::vector<Words> commands = list_commands(proc);
  for (const Words& words : commands) {
    if (is_program(words, "kubelet")) add(found, dir_of_kubelet(words, root));
  }
  if (found.empty()) add(found, dir_by_table(root));
  for (const Words& words : commands) {
    if (!is_program(words, "kube-controller-manager") && !is_program(words, "controller-manager")) {
      continue;
    }
    const auto flag = find_flag(words, "flex-volume-plugin-dir");
    add(found, {flag.value_or(kDefaultPluginDir), "the controller-manager's"});
  }
  return found;
}

}  // namespace plexvol::driver
