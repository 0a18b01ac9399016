#include "flexdriver/install/plugin_dirs.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "agent/api/error.h"
#include "agent/base/text.h"
#include "flexdriver/install/host_processes.h"

namespace plexvol::driver {

namespace {

constexpr std::size_t kLongestConfig = 1U << 20U;
constexpr std::size_t kMostPidsTold = 5;

constexpr std::array kKnown{
    std::pair{kDefaultPluginDir, "the default, kubeadm"},
    std::pair{"/home/kubernetes/flexvolume", "GKE"},
    std::pair{"/etc/kubernetes/volumeplugins", "AKS"},
    std::pair{"/var/lib/kubelet/volumeplugins", "RKE, Atomic"},
    std::pair{"/var/lib/kubelet/volume-plugins", "old kubespray"},
};

using Words = std::vector<std::string>;

// "kubelet ...", and "hyperkube kubelet ...", where one program is all.
bool is_program(const Words& words, std::string_view name) {
  if (words.empty()) return false;
  if (base::base_name(words[0]) == name) return true;
  return words.size() > 1 && base::base_name(words[0]) == "hyperkube" &&
         base::base_name(words[1]) == name;
}

bool is_controller_manager(const Words& words) {
  return is_program(words, "kube-controller-manager") || is_program(words, "controller-manager");
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

// The process's own files: the node's, or those of its container.
TrustedDir root_of(const HostProcess& process, const TrustedDir& root) {
  if (!process.in_container) return root.walk("/");
  base::Descriptor own(
      ::openat(process.folder.get(), "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (!own.is_open()) fail("open the root of process", process.pid);
  return TrustedDir::adopt_root(std::move(own), "(container of process " + process.pid + ")");
}

std::optional<std::string> find_in_config(const HostProcess& kubelet, const TrustedDir& root) {
  const auto file = find_flag(kubelet.words, "config");
  if (!file) return std::nullopt;
  const auto text = root_of(kubelet, root).read_path(*file, kLongestConfig);
  if (!text) throw Error(ErrorCode::NotFound, "its --config " + *file + " is not there");
  constexpr std::string_view kKey = "volumePluginDir:";
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = text->substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(kKey)) continue;
    std::string value = line.substr(kKey.size());
    std::erase_if(value, [](char c) { return c == ' ' || c == '"' || c == '\'' || c == '\r'; });
    if (!value.empty()) return value;
  }
  return std::nullopt;
}

PluginDir dir_of_kubelet(const HostProcess& kubelet, const TrustedDir& root) {
  if (const auto flag = find_flag(kubelet.words, "volume-plugin-dir")) {
    return {*flag, "the kubelet's --volume-plugin-dir"};
  }
  if (const auto key = find_in_config(kubelet, root)) {
    return {*key, "volumePluginDir in the kubelet's configuration file"};
  }
  return {kDefaultPluginDir, "the kubelet's default: its command line names none"};
}

PluginDir dir_of_manager(const HostProcess& manager) {
  return {find_flag(manager.words, "flex-volume-plugin-dir").value_or(kDefaultPluginDir),
          "the controller-manager's", true};
}

// Throws when the installer may not use it. One that is not there is made below directories that it
// may use.
void require_usable(const PluginDir& dir, const HostProcess& process, const TrustedDir& root) {
  if (!dir.path.starts_with('/')) {
    throw Error(ErrorCode::Conflict, "its directory " + dir.path + " is no absolute path");
  }
  const auto here = root.find(dir.path);
  if (!process.in_container) return;
  // What it calls DIR must be this node's DIR, so it must be there already.
  const auto there = root_of(process, root).find(dir.path);
  if (here && there) {
    const struct stat ours = here->info();
    const struct stat its = there->info();
    if (ours.st_dev == its.st_dev && ours.st_ino == its.st_ino) return;
  }
  throw Error(ErrorCode::Conflict,
              "it runs in a container, where " + dir.path +
                  " is not this node's folder of that name: mount it there from the node, or name "
                  "with --plugin-dir the folder of this node that is mounted there");
}

class Search {
 public:
  Search(const std::string& proc, const TrustedDir& root)
      : root_(root),
        processes_(list_host_processes(
            proc, root, {"kubelet", "hyperkube", "kube-controller", "controller-mana"})) {}

  PluginDirs run() {
    for (const HostProcess& process : processes_.trusted) {
      if (is_program(process.words, "kubelet")) {
        consider(process, [&] { return dir_of_kubelet(process, root_); });
      }
    }
    if (found_.dirs.empty() && !found_.notes.empty()) {
      throw Error(ErrorCode::Conflict, found_.notes.front());
    }
    if (found_.dirs.empty()) add(dir_by_table());
    for (const HostProcess& process : processes_.trusted) {
      if (is_controller_manager(process.words)) {
        consider(process, [&] { return dir_of_manager(process); });
      }
    }
    note_unheeded();
    return std::move(found_);
  }

 private:
  template <typename Ask>
  void consider(const HostProcess& process, const Ask& ask) {
    try {
      const PluginDir dir = ask();
      require_usable(dir, process, root_);
      add(dir);
    } catch (const Error& error) {
      found_.notes.push_back(base::base_name(process.words[0]) + " (pid " + process.pid +
                             ") is passed over: " + error.what());
    }
  }

  void add(PluginDir dir) {
    while (dir.path.size() > 1 && dir.path.ends_with('/')) dir.path.pop_back();
    const bool known = std::any_of(found_.dirs.begin(), found_.dirs.end(),
                                   [&](const PluginDir& other) { return other.path == dir.path; });
    if (!known) found_.dirs.push_back(std::move(dir));
  }

  PluginDir dir_by_table() {
    std::vector<PluginDir> there;
    std::string refused;
    for (const auto& [path, who] : kKnown) {
      try {
        if (root_.find(path)) there.push_back({path, std::string("it exists (") + who + ")"});
      } catch (const Error& error) {
        refused += std::string("; ") + error.what();
      }
    }
    const auto refuse = [&](ErrorCode code, const std::string& what) {
      throw Error(code, "no kubelet of root's is seen among the processes of this machine, and " +
                            what + refused +
                            "; name the directory with --plugin-dir (in a container: hostPID makes "
                            "the kubelet visible)");
    };
    if (there.empty()) {
      refuse(ErrorCode::NotFound, "none of the usual plugin directories can be used");
    }
    if (there.size() > 1) {
      refuse(ErrorCode::Conflict,
             "both " + there[0].path + " and " + there[1].path + " exist as plugin directories");
    }
    return there.front();
  }

  void note_unheeded() {
    const auto& pids = processes_.unheeded;
    if (pids.empty()) return;
    std::string list;
    for (std::size_t i = 0; i < std::min(pids.size(), kMostPidsTold); ++i) list += " " + pids[i];
    if (pids.size() > kMostPidsTold) list += " ...";
    found_.notes.push_back(
        std::to_string(pids.size()) +
        " other processes called like a kubelet or a controller-manager are not asked, since "
        "others than root of this machine can have started them (pid" +
        list + "); for a controller-manager that is a pod, --plugin-dir names its directory");
  }

  const TrustedDir& root_;
  const HostProcesses processes_;
  PluginDirs found_;
};

}  // namespace

PluginDirs find_plugin_dirs(const std::string& proc, const TrustedDir& root) {
  return Search(proc, root).run();
}

}  // namespace plexvol::driver
