#include "agent/mounting/ended_pods.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/pods/pods.h"

using namespace plexvol::mounting;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

const std::string kPod = "6f0c2f9e";
const std::string kPath = "/var/lib/kubelet/pods/" + kPod + "/volumes/plexvol~plexvol/pv-1";

// An agent on a node where volume pv-1 is mounted for one pod.
struct EndedPodsAgent {
  std::map<std::string, std::vector<std::string>> mounts{{"pv-1", {kPath}}};
  std::optional<bool> has_sandbox = true;
  bool has_process = false;
  bool is_being_mounted = false;
  std::optional<std::string> unmount_error;
  bool is_busy = false;
  int questions = 0;
  std::vector<std::string> unmounted;
  std::vector<std::string> changed;
  std::chrono::steady_clock::time_point now;
  EndedPods pods{{.pod_of = plexvol::pods::uid_in_path,
                  .has_sandbox =
                      [this](const std::string&) {
                        ++questions;
                        return has_sandbox;
                      },
                  .is_proved_dead = [this](const std::string&) { return !has_process; },
                  .is_being_mounted = [this](const std::string&) { return is_being_mounted; },
                  .unmount = [this](const std::string& path) { return unmount(path); },
                  .changed = [this](const std::string& volume) { changed.push_back(volume); },
                  .patience = 300s,
                  .now = [this] { return now; }}};

  bool unmount(const std::string& path) {
    if (unmount_error) throw plexvol::Error(plexvol::ErrorCode::Unavailable, *unmount_error);
    if (is_busy) return false;
    unmounted.push_back(path);
    mounts.clear();
    return true;
  }
  void look_after(std::chrono::seconds pause) {
    now += pause;
    const auto seen = mounts;  // unmount() changes them
    pods.look(seen);
  }
  bool reports(const std::string& words) const {
    return pods.report("pv-1").find(words) != std::string::npos;
  }
};

}  // namespace

TEST_CASE("ended pods: a mount is taken down when its pod's sandbox stays away [K4]") {
  EndedPodsAgent agent;
  agent.look_after(0s);
  agent.has_sandbox = false;
  agent.look_after(60s);
  agent.look_after(299s);
  CHECK(agent.unmounted.empty());
  agent.look_after(1s);
  CHECK(agent.unmounted == std::vector<std::string>{kPath});
  CHECK(agent.pods.report("pv-1").empty());
  CHECK(agent.pods.list_reports().empty());
}

TEST_CASE("ended pods: the mounts of containers' subPaths are taken down as well [K4]") {
  EndedPodsAgent agent;
  const std::string subpath = "/var/lib/kubelet/pods/" + kPod + "/volume-subpaths/pv-1/postgres/0";
  agent.mounts["pv-1"].push_back(subpath);
  agent.look_after(0s);
  agent.has_sandbox = false;
  agent.look_after(60s);
  agent.look_after(300s);
  CHECK(agent.unmounted == std::vector<std::string>{kPath, subpath});
}

TEST_CASE("ended pods: a pod that may be starting keeps its mount, and is reported [K4]") {
  EndedPodsAgent agent;
  agent.has_sandbox = false;
  agent.look_after(0s);
  agent.look_after(299s);
  CHECK(agent.pods.report("pv-1").empty());
  CHECK(agent.changed.empty());
  agent.look_after(24h);
  CHECK(agent.unmounted.empty());
  CHECK(agent.reports("pod uid " + kPod));
  CHECK(agent.reports("`plexvol unmount " + kPath + "`"));
  CHECK(agent.pods.report("pv-2").empty());
  CHECK(agent.pods.list_reports().size() == 1);
  agent.look_after(60s);
  CHECK(agent.changed == std::vector<std::string>{"pv-1"});
  // It has started, and ends later.
  agent.has_sandbox = true;
  agent.look_after(60s);
  CHECK(agent.pods.report("pv-1").empty());
  CHECK(agent.changed.size() == 2);
  agent.has_sandbox = false;
  agent.look_after(60s);
  agent.look_after(300s);
  CHECK(agent.unmounted.size() == 1);
}

TEST_CASE("ended pods: any sign of life starts the wait again [K4]") {
  EndedPodsAgent agent;
  agent.look_after(0s);
  agent.has_sandbox = false;
  agent.look_after(60s);
  SUBCASE("a new sandbox") {
    agent.has_sandbox = true;
  }
  SUBCASE("a runtime that does not answer") {
    agent.has_sandbox.reset();
  }
  SUBCASE("a process") {
    agent.has_process = true;
  }
  SUBCASE("a mount call for the volume") {
    agent.is_being_mounted = true;
  }
  agent.look_after(299s);
  agent.has_sandbox = false;
  agent.has_process = false;
  agent.is_being_mounted = false;
  agent.look_after(1s);
  agent.look_after(299s);
  CHECK(agent.unmounted.empty());
  agent.look_after(1s);
  CHECK(agent.unmounted.size() == 1);
}

TEST_CASE("ended pods: a mount made later needs a sandbox of its own [K4]") {
  EndedPodsAgent agent;
  agent.look_after(0s);
  agent.mounts.clear();
  agent.look_after(60s);
  agent.mounts = {{"pv-1", {kPath}}};
  agent.has_sandbox = false;
  agent.look_after(60s);
  agent.look_after(300s);
  CHECK(agent.unmounted.empty());
  CHECK(agent.reports("Terminating"));
}

TEST_CASE("ended pods: a mount that is busy is reported, and tried again [K4]") {
  EndedPodsAgent agent;
  agent.look_after(0s);
  agent.has_sandbox = false;
  agent.look_after(60s);
  agent.is_busy = true;
  agent.look_after(300s);
  CHECK(agent.reports("it is busy"));
  agent.unmount_error = "its file system hangs";
  agent.look_after(60s);
  CHECK(agent.reports("its file system hangs"));
  agent.unmount_error.reset();
  agent.is_busy = false;
  agent.look_after(60s);
  CHECK(agent.unmounted.size() == 1);
  CHECK(agent.pods.report("pv-1").empty());
  CHECK(agent.changed.size() == 3);
}

TEST_CASE("ended pods: only mounts in pods' directories are looked at, each pod is asked once") {
  EndedPodsAgent agent;
  agent.mounts = {{"pv-1", {kPath, "/mnt/pv-1"}},
                  {"pv-2", {"/var/lib/kubelet/pods/" + kPod + "/volumes/plexvol~plexvol/pv-2"}}};
  agent.look_after(0s);
  CHECK(agent.questions == 1);
}

TEST_CASE("ended pods: a runtime that is silent is asked once for all pods") {
  EndedPodsAgent agent;
  agent.mounts["pv-2"] = {"/var/lib/kubelet/pods/another/volumes/plexvol~plexvol/pv-2"};
  agent.has_sandbox.reset();
  agent.look_after(0s);
  CHECK(agent.questions == 1);
}
