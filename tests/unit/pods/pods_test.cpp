#include "agent/pods/pods.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "agent/api/error.h"
#include "agent/base/descriptor.h"
#include "agent/pods/runtime.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/pods/cri_server.h"

using namespace plexvol;        // NOLINT(google-build-using-namespace)
using namespace plexvol::pods;  // NOLINT(google-build-using-namespace)
using support::CriServer;

namespace {

constexpr const char* kPodUid = "6f1c1c1e-0123-4000-8000-0000000000a1";

// A node without processes of the pod, and the sockets of two runtimes that may be there.
struct PodNode {
  support::TemporaryDirectory directory;
  std::string first = directory.path() / "first.sock";
  std::string second = directory.path() / "second.sock";

  Settings settings() const { return {.runtime_sockets = {first, second}, .host_root = ""}; }
  Verdict find() const { return Pods(settings()).find(kPodUid); }
};

// A socket file as a runtime leaves it that was stopped.
void leave_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const base::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("pods: a mount's path names its pod [D1]") {
  const std::string root = "/var/lib/kubelet/pods/";
  const std::string uid = kPodUid;
  CHECK(uid_in_path(root + uid + "/volumes/plexvol~plexvol/pv-1") == uid);
  CHECK(uid_in_path(root + uid + "/volume-subpaths/pv-1/db/0") == uid);
  CHECK(uid_in_path("/srv/pods/" + root + uid + "/volumes/plexvol~plexvol/pv-1") == uid);
  CHECK(uid_in_path(root + "0123456789abcdef0123456789abcdef/volumes/x/y") ==
        "0123456789abcdef0123456789abcdef");
  for (const std::string& other : {
           std::string(
               "/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/plexvol/mounts/pv"),
           root + uid,
           root + uid + "/plugins/x",
           root + "/volumes/x",
           root + "a b/volumes/x",
           root + "../volumes/x",
           root + std::string(65, 'a') + "/volumes/x",
           std::string("/mnt"),
       }) {
    CAPTURE(other);
    CHECK_FALSE(uid_in_path(other));
  }
}

TEST_CASE("pods: a pod is dead when the runtime knows no sandbox of it [D1]") {
  const PodNode node;
  SUBCASE("no sandbox at all") {
    const CriServer runtime(node.first, {.sandboxes = {}});
    CHECK(node.find().life == Life::Dead);
  }
  SUBCASE("only others', from a runtime that does not filter") {
    const CriServer runtime(node.first, {.sandboxes = {{.uid = "other"}}, .filters = false});
    CHECK(node.find().life == Life::Dead);
  }
  SUBCASE("a ready one") {
    const CriServer runtime(node.first, {.sandboxes = {{.uid = kPodUid}}});
    const Verdict verdict = node.find();
    CHECK(verdict.life == Life::Alive);
    CHECK(verdict.name == "prod/db-0");
    CHECK(verdict.why == "whose containers are not running now but which still exists");
    CHECK(verdict.advice == "delete the pod");
  }
  SUBCASE("a stopped one, which the kubelet keeps for as long as the pod exists") {
    const CriServer runtime(node.first, {.sandboxes = {{.uid = kPodUid, .ready = false}}});
    const Verdict verdict = node.find();
    CHECK(verdict.life == Life::Unknown);
    CHECK(verdict.name == "prod/db-0");
    CHECK(verdict.why.find("sandbox is stopped") != std::string::npos);
  }
  SUBCASE("a name that is meant for the terminal is not told") {
    const CriServer runtime(node.first, {.sandboxes = {{.uid = kPodUid, .name = "\x1b[2J"}}});
    CHECK(node.find().name.empty());
  }
}

TEST_CASE("pods: runtimes of all versions are asked, the newest interface first [D1]") {
  const PodNode node;
  for (const char* service :
       {"runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService", "runtime.RuntimeService"}) {
    CAPTURE(service);
    const CriServer runtime(node.first, {.service = service, .sandboxes = {{.uid = kPodUid}}});
    CHECK(node.find().life == Life::Alive);
    CHECK(runtime.methods().back() == "/" + std::string(service) + "/ListPodSandbox");
  }
}

TEST_CASE("pods: a runtime that cannot be asked proves nothing [D1]") {
  const PodNode node;
  const auto says = [&](const std::string& words) {
    const Verdict verdict = node.find();
    CHECK(verdict.life == Life::Unknown);
    CAPTURE(verdict.why);
    CHECK(verdict.why.find(words) != std::string::npos);
  };
  SUBCASE("none is there") {
    says("no container runtime was found: none of " + node.first + ", " + node.second);
  }
  SUBCASE("it has ended, and left its socket") {
    leave_socket(node.first);
    says("the container runtime does not answer: " + node.first + ": Connection refused");
    const CriServer other(node.second, {.sandboxes = {}});
    says(node.first + ": Connection refused");
  }
  SUBCASE("it is silent") {
    const CriServer runtime(node.first, {.sandboxes = {}, .is_silent = true});
    says(node.first + ": no answer within 2 s");
  }
  SUBCASE("it is no runtime of Kubernetes'") {
    const CriServer other(node.first,
                          {.service = "containerd.services.tasks.v1.Tasks", .sandboxes = {}});
    says("no container runtime was found");
    // But it does not speak for another one either.
    const CriServer runtime(node.second, {.sandboxes = {}});
    CHECK(node.find().life == Life::Dead);
  }
  SUBCASE("one of two knows the pod") {
    const CriServer empty(node.first, {.sandboxes = {}});
    const CriServer runtime(node.second, {.sandboxes = {{.uid = kPodUid}}});
    CHECK(node.find().life == Life::Alive);
  }
}

TEST_CASE("pods: the host's symbolic links are followed as the host follows them [D1]") {
  const support::TemporaryDirectory directory;
  const std::string root = directory.path() / "root";
  std::filesystem::create_directories(root + "/run/crio");
  std::filesystem::create_directories(root + "/var");
  std::filesystem::create_directory_symlink("/run", root + "/var/run");
  std::filesystem::create_directory_symlink("../run/crio", root + "/var/crio");
  std::filesystem::create_directory_symlink("/loop", root + "/loop");
  CHECK(find_in_host(root, "/var/run/dockershim.sock") == root + "/run/dockershim.sock");
  CHECK(find_in_host(root, "/var/crio/crio.sock") == root + "/run/crio/crio.sock");
  CHECK(find_in_host(root, "/var/../../run/x.sock") == root + "/run/x.sock");
  CHECK(find_in_host(root, "/none/x.sock") == root + "/none/x.sock");
  CHECK(find_in_host(root, "/loop/x.sock") == root + "/loop/x.sock");
  const CriServer runtime(root + "/run/dockershim.sock", {.sandboxes = {{.uid = kPodUid}}});
  CHECK(
      list_sandboxes({.runtime_sockets = {"/var/run/dockershim.sock"}, .host_root = root}, kPodUid)
          .size() == 1);
}

TEST_CASE("pods: the doctor is told which runtime cannot be asked [D1]") {
  const PodNode node;
  CHECK(find_fault_of_runtimes(node.settings()).find(node.second) != std::string::npos);
  const CriServer runtime(node.first, {.sandboxes = {}});
  CHECK(find_fault_of_runtimes(node.settings()).empty());
}
