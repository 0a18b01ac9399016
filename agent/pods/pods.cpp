#include "agent/pods/pods.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/api/error.h"
#include "agent/pods/cgroups.h"
#include "agent/pods/runtime.h"
#include "agent/process/proc.h"

namespace plexvol::pods {

namespace {

constexpr const char* kDeleteIt = "delete the pod";
constexpr std::size_t kLongestUid = 64;

// Static pods have 32 hex digits without dashes.
bool is_uid(std::string_view text) {
  return !text.empty() && text.size() <= kLongestUid &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-';
         });
}

// A process's name is whatever it likes to be called.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  return text;
}

Verdict unknown(const std::string& why, const std::string& advice) {
  return {.life = Life::Unknown, .name = "", .why = why, .advice = advice};
}

std::string name_in(const std::vector<Sandbox>& sandboxes) {
  const auto named = std::find_if(sandboxes.begin(), sandboxes.end(),
                                  [](const Sandbox& one) { return !one.name.empty(); });
  return named == sandboxes.end() ? "" : named->name;
}

// Only for people: the pod lives, whatever the runtime says of it.
std::string find_name(const Settings& settings, const std::string& uid) {
  try {
    return name_in(list_sandboxes(settings, uid));
  } catch (const Error&) {
    return "";
  }
}

Verdict judge(const std::vector<Sandbox>& sandboxes) {
  if (sandboxes.empty()) return {.life = Life::Dead, .name = "", .why = "", .advice = ""};
  const bool is_ready =
      std::any_of(sandboxes.begin(), sandboxes.end(), [](const Sandbox& one) { return one.ready; });
  if (is_ready) {
    return {.life = Life::Alive,
            .name = name_in(sandboxes),
            .why = "whose containers are not running now but which still exists",
            .advice = kDeleteIt};
  }
  return {.life = Life::Unknown,
          .name = name_in(sandboxes),
          .why = "whose sandbox is stopped but not removed, so that it may be started again",
          .advice = std::string(kDeleteIt) +
                    "; if it is deleted, its kubelet removes the sandbox, or do so by crictl rmp"};
}

}  // namespace

Verdict Pods::find(const std::string& uid) const {
  std::vector<pid_t> processes;
  try {
    processes = find_processes(uid, settings_.proc);
  } catch (const Error& error) {
    return unknown(fmt::format("whose processes cannot be searched for: {}", error.what()),
                   "make the host's /proc readable for the agent");
  }
  if (!processes.empty()) {
    return {.life = Life::Alive,
            .name = find_name(settings_, uid),
            .why = fmt::format("whose processes are running ({} {})", processes.front(),
                               printable(process::command_of(processes.front()))),
            .advice = kDeleteIt};
  }
  try {
    return judge(list_sandboxes(settings_, uid));
  } catch (const Error& error) {
    return unknown(fmt::format("which may still exist: {}", error.what()),
                   "start the container runtime, or set runtime_sockets to its socket");
  }
}

std::optional<bool> Pods::has_sandbox(const std::string& uid) const {
  try {
    return !list_sandboxes(settings_, uid).empty();
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<std::string> uid_in_path(const std::string& mount_point) {
  constexpr std::string_view kPods = "/pods/";
  const std::string_view path = mount_point;
  for (std::size_t at = path.find(kPods); at != std::string_view::npos;
       at = path.find(kPods, at + 1)) {
    const std::string_view below = path.substr(at + kPods.size());
    const std::size_t end = below.find('/');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = below.substr(end);
    const bool holds_volume =
        rest.starts_with("/volumes/") || rest.starts_with("/volume-subpaths/");
    if (holds_volume && is_uid(below.substr(0, end))) return std::string(below.substr(0, end));
  }
  return std::nullopt;
}

std::string find_fault_of_runtimes(const Settings& settings) {
  try {
    list_sandboxes(settings, "none");  // a uid that no pod has
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace plexvol::pods
