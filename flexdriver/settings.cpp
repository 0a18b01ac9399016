#include "flexdriver/settings.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include <nlohmann/json.hpp>

#include "agent/api/protocol.h"
#include "agent/api/text.h"
#include "agent/base/files.h"

namespace plexvol::driver {

namespace {

using Json = nlohmann::json;

constexpr const char* kFileName = ".plexvol.json";
constexpr const char* kAdvice = "; mend it, or run plexvol driver install";
constexpr const char* kSocketName = ".plexvold.sock";
constexpr std::size_t kLargestFile = 65'536;
// waitforattach is ended by the kubelet after ten minutes, and a driver that is then still there
// takes the kubelet down with it (contract fact 8).
constexpr double kLongestSeconds = 540;
constexpr double kShortestSeconds = 0.1;

std::string executable_directory() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length <= 0 || static_cast<std::size_t>(length) >= path.size()) return "";
  const std::string text(path.data(), static_cast<std::size_t>(length));
  return text.substr(0, text.rfind('/'));
}

class Reader {
 public:
  Reader(const Json& json, std::string& problem) : json_(json), problem_(problem) {}

  void read(const char* key, bool& value) {
    const auto found = json_.find(key);
    if (found == json_.end()) return;
    if (!found->is_boolean()) return complain(key, "true or false");
    value = found->get<bool>();
  }

  void read(const char* key, std::chrono::milliseconds& value) {
    const auto found = json_.find(key);
    if (found == json_.end()) return;
    const double seconds = found->is_number() ? found->get<double>() : -1;
    if (!(seconds >= kShortestSeconds && seconds <= kLongestSeconds)) {
      return complain(key, "a number of seconds from 0.1 to 540");
    }
    value = std::chrono::milliseconds(static_cast<long>(seconds * 1000));
  }

  void read(const char* key, std::string& value) {
    const auto found = json_.find(key);
    if (found == json_.end()) return;
    if (!found->is_string() || !found->get_ref<const std::string&>().starts_with('/')) {
      return complain(key, "an absolute path");
    }
    value = found->get_ref<const std::string&>();
  }

 private:
  void complain(const char* key, const char* wanted) {
    problem_ = std::string(kFileName) + ": " + key + " must be " + wanted;
  }

  const Json& json_;
  std::string& problem_;
};

}  // namespace

Settings parse_settings(const std::string& text, const std::string& directory) {
  Settings settings;
  std::string socket;
  const Json json = text.empty() ? Json::object() : Json::parse(text, nullptr, false);
  if (json.is_object()) {
    Reader reader(json, settings.problem);
    reader.read("socket", socket);
    reader.read("timeout_seconds", settings.timeout);
    reader.read("agent_seconds", settings.agent_timeout);
    reader.read("attach", settings.capabilities.attach);
    reader.read("selinuxRelabel", settings.capabilities.selinux_relabel);
    reader.read("supportsMetrics", settings.capabilities.supports_metrics);
    reader.read("fsGroup", settings.capabilities.fs_group);
    reader.read("requiresFSResize", settings.capabilities.requires_fs_resize);
  } else {
    settings.problem = std::string(kFileName) + " is not a JSON object";
  }
  if (!socket.empty()) settings.sockets.push_back(socket);
  if (socket != api::kDefaultSocket) settings.sockets.emplace_back(api::kDefaultSocket);
  if (!directory.empty()) settings.sockets.push_back(directory + '/' + kSocketName);
  return settings;
}

Settings load_settings(const std::string& directory) {
  const auto text = base::read_file(directory + kSettingsFile, kLargestFile);
  const int error = errno;
  Settings settings = parse_settings(text.value_or(""), directory);
  if (!text) settings.problem = std::string(kFileName) + ": " + base::error_text(error);
  if (text && text->empty()) settings.problem = std::string(kFileName) + " is empty";
  if (settings.problem.empty()) return settings;
  const auto good = base::read_file(directory + kGoodSettingsFile, kLargestFile);
  if (!good && !text && error == ENOENT) {
    // Put there by hand, without settings.
    settings.problem.clear();
    return settings;
  }
  Settings former = parse_settings(good.value_or(""), directory);
  if (!good || !former.problem.empty()) {
    settings.problem += kAdvice;
    return settings;
  }
  former.problem = settings.problem + "; used instead: " + kFileName +
                   ".good, as it was last installed" + kAdvice;
  return former;
}

Settings load_settings() {
  return load_settings(executable_directory());
}

}  // namespace plexvol::driver
