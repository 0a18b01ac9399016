#include "agent/mounting/pod_directories.h"

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/kubelet_directory.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol::mounting;  // NOLINT(google-build-using-namespace)
namespace mounts = plexvol::mounts;
using plexvol::support::can_use_loop_devices;
using plexvol::support::KubeletDirectory;
using plexvol::support::Mount;
using plexvol::support::TemporaryDirectory;

namespace {

// An agent that has been told of the kubelet's directory.
struct DirectoriesAgent {
  explicit DirectoriesAgent(const std::string& target) { directories.remember(target); }

  TemporaryDirectory state;
  std::string memory = (state.path() / "not-made-yet" / "kubelets").string();
  std::set<std::string> dead;
  std::set<std::string> being_mounted;
  bool mounted_meanwhile = false;  // while it is asked whether the pod is dead
  std::vector<std::string> changed;
  std::chrono::milliseconds patience{0};
  PodDirectories directories{settings()};

  PodDirectorySettings settings() {
    return {.memory = memory,
            .root = [] { return std::string(); },
            .is_proved_dead =
                [this](const std::string& uid) {
                  if (mounted_meanwhile) being_mounted.insert("pv-1");
                  return dead.contains(uid);
                },
            .is_being_mounted =
                [this](const std::string& volume) { return being_mounted.contains(volume); },
            .unmount =
                [](const std::string& path) { return umount2(path.c_str(), UMOUNT_NOFOLLOW) == 0; },
            .changed = [this](const std::string& volume) { changed.push_back(volume); },
            .patience = patience};
  }
};

bool exists(const std::string& path) {
  return std::filesystem::exists(path);
}

}  // namespace

TEST_CASE("pod directories: those of dead pods are removed, guarded or not [K3]") {
  if (!can_use_loop_devices()) return;
  for (const bool has_flag : {true, false}) {
    for (const bool guarded : {true, false}) {
      CAPTURE(has_flag);
      CAPTURE(guarded);
      const KubeletDirectory kubelet(has_flag);
      DirectoriesAgent agent(kubelet.pod());
      if (guarded) mounts::set_guard(kubelet.pod(), "pv-1");
      agent.directories.look();
      CHECK(exists(kubelet.pod()));
      agent.dead.insert("6f0c2f9e");
      CHECK(agent.directories.look() == Look::Clear);
      CHECK_FALSE(exists(kubelet.pod()));
      CHECK(exists(std::filesystem::path(kubelet.pod()).parent_path()));
    }
  }
}

TEST_CASE(
    "pod directories: one that is about to be mounted on stays, though no container is there yet") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  DirectoriesAgent agent(kubelet.pod());
  mounts::set_guard(kubelet.pod(), "pv-1");
  agent.dead.insert("6f0c2f9e");
  agent.being_mounted.insert("pv-1");
  agent.directories.look();
  CHECK(exists(kubelet.pod()));
  agent.being_mounted.clear();
  agent.directories.look();
  CHECK_FALSE(exists(kubelet.pod()));
}

TEST_CASE("pod directories: what is mounted, or not empty, is never removed [K3]") {
  if (!can_use_loop_devices()) return;
  for (const bool has_flag : {true, false}) {
    CAPTURE(has_flag);
    const KubeletDirectory kubelet(has_flag);
    DirectoriesAgent agent(kubelet.pod());
    agent.dead.insert("6f0c2f9e");
    std::ofstream(kubelet.pod() + "/file").put('x');
    agent.directories.look();
    CHECK(exists(kubelet.pod() + "/file"));
    mounts::set_guard(kubelet.pod(), "pv-1");
    {
      const Mount volume("tmpfs", kubelet.pod(), "tmpfs");
      std::ofstream(kubelet.pod() + "/of-the-volume").put('x');
      agent.directories.look();
      CHECK(exists(kubelet.pod() + "/of-the-volume"));
    }
    agent.directories.look();
    mounts::clear_guard(kubelet.pod());
    CHECK(exists(kubelet.pod() + "/file"));
  }
}

TEST_CASE(
    "pod directories: a pod that may run without its volume is told, until it is not so [D1]") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  DirectoriesAgent agent(kubelet.pod());
  agent.directories.look();
  CHECK(agent.directories.missing("pv-1").empty());
  mounts::set_guard(kubelet.pod(), "pv-1");
  CHECK(agent.directories.look() == Look::Found);
  const std::string words = agent.directories.missing("pv-1");
  for (const std::string& part : {kubelet.pod(), std::string("6f0c2f9e"), std::string("pv-1")}) {
    CHECK(words.find(part) != std::string::npos);
  }
  CHECK(agent.directories.missing("data").empty());
  agent.directories.look();
  CHECK(agent.changed == std::vector<std::string>{"pv-1"});
  {
    const Mount again("tmpfs", kubelet.pod(), "tmpfs");
    agent.directories.look();
    CHECK(agent.directories.missing("pv-1").empty());
    CHECK(agent.changed.size() == 2);
  }
  agent.directories.look();
  CHECK_FALSE(agent.directories.missing("pv-1").empty());
  agent.dead.insert("6f0c2f9e");
  agent.directories.look();
  CHECK(agent.directories.missing("pv-1").empty());
  CHECK(agent.changed.size() == 4);
}

TEST_CASE(
    "pod directories: a guard of a call that is under way, or has just ended, is not told [D1]") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  DirectoriesAgent agent(kubelet.pod());
  mounts::set_guard(kubelet.pod(), "pv-1");
  agent.being_mounted.insert("pv-1");
  CHECK(agent.directories.look() == Look::Clear);
  CHECK(agent.directories.missing("pv-1").empty());
  agent.being_mounted.clear();
  agent.patience = std::chrono::hours(1);
  PodDirectories patient(agent.settings());
  CHECK(patient.look() == Look::Again);
  CHECK(patient.missing("pv-1").empty());
}

TEST_CASE("pod directories: one is not removed under a call that began meanwhile [K3]") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  DirectoriesAgent agent(kubelet.pod());
  mounts::set_guard(kubelet.pod(), "pv-1");
  agent.dead.insert("6f0c2f9e");
  agent.mounted_meanwhile = true;
  agent.directories.look();
  CHECK(exists(kubelet.pod()));
  agent.mounted_meanwhile = false;
  agent.being_mounted.clear();
  agent.directories.look();
  CHECK_FALSE(exists(kubelet.pod()));
}

TEST_CASE("pod directories: the next agent finds what the one before was told of [K3]") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  DirectoriesAgent agent(kubelet.pod());
  mounts::set_guard(kubelet.pod(), "pv-1");
  agent.dead.insert("6f0c2f9e");
  PodDirectories next(agent.settings());
  next.look();
  CHECK_FALSE(exists(kubelet.pod()));
}

TEST_CASE("pod directories: only directories of pods are remembered, each kubelet's once") {
  const TemporaryDirectory directory;
  DirectoriesAgent agent(
      "/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/plexvol/mounts/data");
  CHECK_FALSE(exists(agent.memory));
  agent.directories.remember("/elsewhere\n/pods/a/volumes/plexvol~plexvol/data");
  CHECK_FALSE(exists(agent.memory));
  for (const char* pod : {"a", "b"}) {
    agent.directories.remember(std::string("/elsewhere/pods/") + pod +
                               "/volumes/plexvol~plexvol/data");
  }
  std::ifstream memory(agent.memory);
  const std::string text((std::istreambuf_iterator<char>(memory)), {});
  CHECK(text == "/elsewhere/pods\n/var/lib/kubelet/pods\n");
  agent.directories.look();  // a kubelet's directory that is gone is no fault
}

TEST_CASE("pod directories: a state directory that cannot be written to keeps no volume away") {
  DirectoriesAgent agent("/nowhere");
  const std::filesystem::path memory(agent.memory);
  std::filesystem::create_directories(memory.parent_path() /
                                      ("." + memory.filename().string() + ".new"));
  agent.directories.remember("/elsewhere/pods/a/volumes/plexvol~plexvol/data");
  CHECK_FALSE(exists(agent.memory));
}
