// The driver that was dropped for the kubelet, and the mounts that it makes.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "agent/base/files.h"
#include "agent/doctor/look.h"

namespace plexvol::doctor {

namespace {

using Json = nlohmann::json;

void look_at_driver(const Examination& examination) {
  const std::string& driver = examination.subject.helper;
  constexpr const char* kWhat = "driver";
  // Without DRBD, drbd.helper is no setting that anybody needs, and the driver may be elsewhere.
  if (!is_mirroring(examination.subject) && ::access(driver.c_str(), F_OK) != 0) {
    return examination.report.warn(kWhat, driver + " does not exist", "answers init",
                                   "plexvol driver find prints the kubelet's plugin directory; "
                                   "plexvol driver install installs the driver there");
  }
  const auto output = examination.runner.run({.argv = {driver, "init"}, .input = {}});
  const Json reply = Json::parse(output.out + output.err, nullptr, false);
  if (reply.is_object() && reply.value("status", "") == "Success") {
    const std::string problem = reply.value("message", "");
    if (!problem.empty()) {
      return examination.report.fault(kWhat, fmt::format("{}: {}", driver, problem), "answers init",
                                      "plexvol driver install (see installer/README.md)");
    }
    return examination.report.ok(kWhat, driver, "answers init");
  }
  examination.report.fault(kWhat, fmt::format("{}: {}", driver, process::said(output)),
                           "answers init", "plexvol driver install (see installer/README.md)");
}

// The sockets that the driver tries are those of its settings, the default, and one beside it.
void look_at_sockets(const Examination& examination) {
  const Subject& subject = examination.subject;
  const std::string folder = subject.helper.substr(0, subject.helper.rfind('/'));
  const Json settings =
      Json::parse(base::read_file(folder + "/.plexvol.json").value_or("{}"), nullptr, false);
  std::vector<std::string> tried{api::kDefaultSocket, folder + "/.plexvold.sock"};
  if (settings.is_object() && settings.contains("socket") && settings["socket"].is_string()) {
    tried.insert(tried.begin(), settings["socket"].get<std::string>());
  }
  constexpr const char* kWhat = "agent's socket";
  for (const std::string& socket : subject.sockets) {
    if (std::find(tried.begin(), tried.end(), socket) == tried.end()) continue;
    return examination.report.ok(kWhat, socket, "one that the driver tries");
  }
  examination.report.fault(kWhat, subject.sockets.front(), "one that the driver tries",
                           fmt::format("add {} to `sockets`, or run plexvol driver install "
                                       "--agent-socket {}",
                                       tried.front(), subject.sockets.front()));
}

// Of the first process: whether what is mounted below is seen by a kubelet or a pod elsewhere.
void look_at_propagation(const Examination& examination) {
  constexpr const char* kWhat = "mount propagation";
  constexpr const char* kKubelet = "/var/lib/kubelet";
  std::istringstream lines(
      base::read_file(examination.subject.places.proc + "/1/mountinfo").value_or(""));
  std::string holder;
  bool shared = false;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, options, optional;
    words >> id >> parent >> device >> root >> point >> options >> optional;
    const bool above =
        point == "/" || kKubelet == point || std::string(kKubelet).starts_with(point + "/");
    if (!above || point.size() < holder.size()) continue;
    holder = point;
    shared = line.substr(0, line.find(" - ")).find(" shared:") != std::string::npos;
  }
  if (shared) return examination.report.ok(kWhat, holder + " is shared", "shared");
  examination.report.warn(kWhat, holder + " is private", "shared",
                          fmt::format("mount --make-rshared {} (systemd does this at boot): "
                                      "otherwise a kubelet or pod in a container does not see its "
                                      "mounts",
                                      holder));
}

// A node without Kubernetes has none and needs none, and volumes are served without: no fault.
void look_at_runtime(const Examination& examination) {
  constexpr const char* kWhat = "container runtime";
  constexpr const char* kWanted = "answers whether a pod still exists";
  const std::string fault = pods::find_fault_of_runtimes(examination.subject.pods);
  if (fault.empty()) return examination.report.ok(kWhat, kWanted, kWanted);
  examination.report.warn(
      kWhat, fault, kWanted,
      "start the runtime, or set `runtime_sockets` to its CRI socket: until it answers, a volume "
      "that is still mounted for a pod is not released to another node, even if the pod is gone");
}

// A kubelet of 1.12 that is restarted while a pod is deleted never unmounts the pod's volumes.
void look_at_ended_pods(const Examination& examination) {
  constexpr const char* kWhat = "mounts of pods";
  constexpr const char* kWanted = "each belongs to a pod that has a sandbox or a process";
  if (!examination.subject.ended_pods) return;
  if (examination.subject.ended_pods->empty()) {
    return examination.report.ok(kWhat, kWanted, kWanted);
  }
  for (const Remark& remark : *examination.subject.ended_pods) {
    examination.report.warn(kWhat, remark.found, kWanted, remark.advice);
  }
}

}  // namespace

void look_at_kubelet(const Examination& examination) {
  Report& report = examination.report;
  const std::string advice = "plexvol driver install (see installer/README.md)";
  report.look("driver", advice, [&] { look_at_driver(examination); });
  report.look("agent's socket", advice, [&] { look_at_sockets(examination); });
  report.look("container runtime", "set `runtime_sockets` to its CRI socket",
              [&] { look_at_runtime(examination); });
  look_at_ended_pods(examination);
  report.look("mount propagation", "mount the host's /proc",
              [&] { look_at_propagation(examination); });
}

}  // namespace plexvol::doctor
