#include "agent/mounts/guard.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/api/error.h"
#include "tests/support/kubelet_directory.h"
#include "tests/support/loop_device.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol::mounts;  // NOLINT(google-build-using-namespace)
using plexvol::Error;
using plexvol::support::can_use_loop_devices;
using plexvol::support::KubeletDirectory;
using plexvol::support::Mount;
using plexvol::support::TemporaryDirectory;

TEST_CASE("guard: a pod's volume directory is known by its path") {
  const auto found = parse_pod_volume("/var/lib/kubelet/pods/6f0c/volumes/plexvol~plexvol/data");
  REQUIRE(found);
  CHECK(found->pods == "/var/lib/kubelet/pods");
  CHECK(found->pod == "6f0c");
  CHECK(found->plugin == "plexvol~plexvol");
  CHECK(found->name == "data");
  CHECK(to_path(*found) == "/var/lib/kubelet/pods/6f0c/volumes/plexvol~plexvol/data");
}

TEST_CASE("guard: other directories are no pod's [D1]") {
  for (const std::string path :
       {"", "/", "data", "/data", "/volumes/plexvol~plexvol/data",
        "/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/plexvol/mounts/data",
        "/var/lib/kubelet/pods/6f0c/volumes/plexvol~plexvol",
        "/var/lib/kubelet/pods/6f0c/volumes/plexvol~plexvol/",
        "/var/lib/kubelet/pods/6f0c/volumes//data", "/var/lib/kubelet/pods//volumes/p/data",
        "/var/lib/kubelet/mypods/6f0c/volumes/plexvol~plexvol/data",
        "/var/lib/kubelet/pods/6f0c/volume-subpaths/plexvol~plexvol/data",
        "/var/lib/kubelet/pods/6f0c/volumes/plexvol~plexvol/data/below"}) {
    CAPTURE(path);
    CHECK_FALSE(parse_pod_volume(path));
  }
}

TEST_CASE("guard: its tmpfs and a placeholder are told from the tmpfs of others") {
  CHECK(is_guard("tmpfs", guard_source("pv-1")));
  CHECK(is_placeholder("tmpfs", placeholder_source("pv-1")));
  CHECK_FALSE(is_guard("tmpfs", placeholder_source("pv-1")));
  CHECK_FALSE(is_placeholder("tmpfs", guard_source("pv-1")));
  CHECK_FALSE(is_guard("tmpfs", "tmpfs"));
  CHECK_FALSE(is_guard("ext4", guard_source("pv-1")));
}

TEST_CASE(
    "guard: a guarded directory cannot be written to, and says which volume is missing [D1]") {
  if (!can_use_loop_devices()) return;
  for (const bool has_flag : {true, false}) {
    CAPTURE(has_flag);
    const KubeletDirectory kubelet(has_flag);
    auto bare = find_bare(kubelet.pod());
    REQUIRE(bare);
    CHECK_FALSE(bare->guarded);
    for (int twice = 0; twice < 2; ++twice) set_guard(kubelet.pod(), "pv-1");
    CHECK_FALSE(kubelet.can_write());
    CHECK(rmdir(kubelet.pod().c_str()) != 0);
    bare = find_bare(kubelet.pod());
    REQUIRE(bare);
    CHECK(bare->guarded);
    CHECK(bare->volume == "pv-1");
    for (int twice = 0; twice < 2; ++twice) clear_guard(kubelet.pod());
    CHECK(kubelet.can_write());
    CHECK_FALSE(find_bare(kubelet.pod())->guarded);
  }
}

TEST_CASE("guard: nothing that is mounted there is touched [D1]") {
  if (!can_use_loop_devices()) return;
  for (const bool has_flag : {true, false}) {
    CAPTURE(has_flag);
    const KubeletDirectory kubelet(has_flag);
    set_guard(kubelet.pod(), "pv-1");
    const Mount volume("tmpfs", kubelet.pod(), "tmpfs");
    CHECK_FALSE(find_bare(kubelet.pod()));
    CHECK_THROWS_AS(set_guard(kubelet.pod(), "pv-1"), Error);
    clear_guard(kubelet.pod());
    CHECK(remove_bare(kubelet.pod()) == Removal::Mounted);
    CHECK(kubelet.can_write());
    REQUIRE(umount2(kubelet.pod().c_str(), UMOUNT_NOFOLLOW) == 0);
    CHECK(find_bare(kubelet.pod())->guarded);
  }
}

TEST_CASE("guard: a directory is removed with its flag, unless something is in it [K3]") {
  if (!can_use_loop_devices()) return;
  const KubeletDirectory kubelet(true);
  std::ofstream(kubelet.pod() + "/file").put('x');
  set_guard(kubelet.pod(), "pv-1");
  CHECK(remove_bare(kubelet.pod()) == Removal::NotEmpty);
  CHECK(find_bare(kubelet.pod())->guarded);
  clear_guard(kubelet.pod());
  REQUIRE(unlink((kubelet.pod() + "/file").c_str()) == 0);
  set_guard(kubelet.pod(), "pv-1");
  CHECK(remove_bare(kubelet.pod()) == Removal::Removed);
  CHECK_FALSE(std::filesystem::exists(kubelet.pod()));
  CHECK(remove_bare(kubelet.pod()) == Removal::Removed);
}

TEST_CASE("guard: links and files are no directories, and what is not there needs nothing") {
  const TemporaryDirectory directory;
  const std::string path = (directory.path() / "data").string();
  CHECK_FALSE(find_bare(path));
  clear_guard(path);
  CHECK_THROWS_AS(set_guard(path, "pv-1"), Error);
  std::filesystem::create_directory_symlink(directory.path(), path);
  CHECK_FALSE(find_bare(path));
  clear_guard(path);
  CHECK_THROWS_AS(set_guard(path, "pv-1"), Error);
  std::filesystem::remove(path);
  std::ofstream(path).put('x');
  CHECK_FALSE(find_bare(path));
}

TEST_CASE("guard: the directories of this driver's volumes are found, and no others [K3]") {
  const TemporaryDirectory directory;
  const std::string pods = (directory.path() / "pods").string();
  for (const char* path :
       {"a/volumes/plexvol~plexvol/one", "a/volumes/plexvol~plexvol/two",
        "b/volumes/kubernetes.io~empty-dir/three", "c/volumes", "d/volumes/other~plexvol/four"}) {
    std::filesystem::create_directories(pods + '/' + path);
  }
  std::ofstream(pods + "/file").put('x');
  std::filesystem::create_directories(directory.path() / "elsewhere/plexvol~plexvol/five");
  std::filesystem::create_directories(pods + "/e");
  std::filesystem::create_directory_symlink(directory.path() / "elsewhere", pods + "/e/volumes");
  auto found = list_pod_volumes(pods);
  REQUIRE(found.size() == 2);
  CHECK(found[0].pod == "a");
  CHECK(found[1].plugin == "plexvol~plexvol");
  CHECK(found[0].name != found[1].name);
  CHECK(list_pod_volumes("/pods", directory.path().string()).size() == 2);
  CHECK(list_pod_volumes(pods + "/nowhere").empty());
}
