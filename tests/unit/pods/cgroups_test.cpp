#include "agent/pods/cgroups.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/api/error.h"
#include "agent/pods/pods.h"
#include "tests/support/namespace_child.h"
#include "tests/support/pod_cgroup.h"
#include "tests/support/temporary_directory.h"

using namespace plexvol;        // NOLINT(google-build-using-namespace)
using namespace plexvol::pods;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kUid = "6f1c1c1e-0123-4000-8000-0000000000a1";

bool is_found(const std::string& text, const std::string& uid = kUid) {
  // However the text is cut into pieces.
  CgroupSearch whole(uid);
  whole.take(text);
  CgroupSearch pieces(uid);
  for (const char& character : text) pieces.take({&character, 1});
  const bool found = whole.found();
  CHECK(pieces.found() == found);
  return found;
}

// A /proc whose processes are in the cgroups that a test says.
class Proc {
 public:
  Proc() { add(1, "0::/init.scope\n"); }
  std::string path() const { return directory_.path().string(); }
  void add(int pid, const std::string& cgroup, const std::string& state = "S (sleeping)",
           const std::string& pending = "0000000000000000") const {
    const auto folder = directory_.path() / std::to_string(pid);
    const auto thread = folder / "task" / std::to_string(pid);
    std::filesystem::create_directories(thread);
    std::ofstream(folder / "cgroup") << cgroup;
    std::ofstream(thread / "status") << "Name:\tx\nState:\t" << state << "\nSigPnd:\t" << pending
                                     << "\nShdPnd:\t" << pending << "\n";
    std::ofstream(thread / "stat") << pid << " (x) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0\n";
  }
  std::vector<pid_t> find() const { return find_processes(kUid, path()); }

 private:
  support::TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("pods: a process is its pod's under every cgroup driver and runtime [D1]") {
  const std::string dashes = kUid;
  const std::string underscores = "6f1c1c1e_0123_4000_8000_0000000000a1";
  for (const std::string& text : {
           "0::/kubepods/burstable/pod" + dashes + "/8f2a\n",
           "0::/kubelet/kubepods/besteffort/pod" + dashes + "\n",
           "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscores +
               ".slice/cri-containerd-8f2a.scope\n",
           "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + underscores +
               ".slice:cri-containerd:8f2a\n",
           "0::/system.slice/containerd.service/kubepods-burstable-pod" + underscores +
               ".slice:cri-containerd:8f2a\n",
           "0::/../../pod" + dashes + "/8f2a/inner\n",  // from a private cgroup namespace
           "0::/kubepods/pod" + dashes + " (deleted)\n",
           "12:cpu,cpuacct:/\n11:memory:/kubepods/burstable/pod" + dashes +
               "/8f2a\n1:name=systemd:/user.slice\n",
       }) {
    CAPTURE(text);
    CHECK(is_found(text));
  }
  CHECK(is_found("0::/kubepods/pod0123456789abcdef0123456789abcdef/8f2a\n",
                 "0123456789abcdef0123456789abcdef"));  // a static pod's
}

TEST_CASE("pods: a process of another pod, or of none, is not taken for the pod's [D1]") {
  const std::string uid = kUid;
  for (const std::string& text : {
           std::string("0::/system.slice/sshd.service\n"),
           "0::/kubepods/pod" + uid + "0/8f2a\n",
           "0::/kubepods/pod" + uid + "-b/8f2a\n",
           "0::/kubepods/pod" + uid + "_b/8f2a\n",
           "0::/kubepods/tripod" + uid + "/8f2a\n",
           "1:name=pod" + uid + ":/init.scope\n",
           "0::/kubepods/" + uid + "/8f2a\n",
           std::string("0::/kubepods/pod6f1c1c1e-0123-4000/8000-0000000000a1\n"),
           std::string(),
       }) {
    CAPTURE(text);
    CHECK_FALSE(is_found(text));
  }
  CHECK_FALSE(is_found("0::/" + std::string(100'000, 'x') + "pod" + uid + "\n"));
}

TEST_CASE("pods: of a pod's processes those count that may still run [D1]") {
  const Proc proc;
  const std::string cgroup = std::string("0::/kubepods/pod") + kUid + "/8f2a\n";
  CHECK(proc.find().empty());
  proc.add(12, cgroup);
  proc.add(13, cgroup, "Z (zombie)");
  proc.add(14, cgroup, "D (disk sleep)", "0000000000000100");  // SIGKILL is pending
  proc.add(15, "0::/kubepods/podother/8f2a\n");
  CHECK(proc.find() == std::vector<pid_t>{12});
}

TEST_CASE("pods: what cannot be read is not taken for nobody [D1]") {
  const Proc proc;
  CHECK_THROWS_AS(find_processes(kUid, proc.path() + "/none"), Error);
  // Reading a directory fails with another error than that of a process that is gone.
  std::filesystem::create_directories(proc.path() + "/77/cgroup");
  CHECK_THROWS_AS(proc.find(), Error);
  const Verdict verdict =
      Pods({.runtime_sockets = {}, .host_root = "", .proc = proc.path()}).find(kUid);
  CHECK(verdict.life == Life::Unknown);
  CHECK(verdict.why.find("/77/cgroup") != std::string::npos);
}

TEST_CASE("pods: without a descriptor left a look at processes fails [D1]") {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) _exit(2);
    try {
      find_processes(kUid, "/proc");
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::Unavailable ? 0 : 3);
    }
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("pods: all processes of a pod are killed, in any mount namespace, and nobody else [D4]") {
  const support::PodCgroup cgroup(kUid);
  if (!cgroup.exists()) return;
  // It starts another process of the pod again and again, as a supervisor in a container does.
  const support::NamespaceChild supervisor(MS_PRIVATE, [] {
    if (fork() != 0) return true;
    for (;;) {
      const pid_t child = fork();
      if (child == 0) {
        for (;;) pause();
      }
      usleep(1000);
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  });
  const support::NamespaceChild bystander(MS_PRIVATE);
  // The whole family moves: what is forked from now on is in the cgroup by itself.
  std::ifstream children("/proc/" + std::to_string(supervisor.pid()) + "/task/" +
                         std::to_string(supervisor.pid()) + "/children");
  pid_t forking = 0;
  children >> forking;
  REQUIRE(forking > 0);
  cgroup.add(supervisor.pid());
  cgroup.add(forking);
  CHECK(find_processes(kUid, "/proc").size() >= 2);
  const Pods pods({.runtime_sockets = {}, .host_root = ""});
  CHECK(pods.find(kUid).life == Life::Alive);
  pods.kill(kUid);
  CHECK(find_processes(kUid, "/proc").empty());
  int status = 0;
  REQUIRE(waitpid(supervisor.pid(), &status, 0) == supervisor.pid());
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK(waitpid(bystander.pid(), nullptr, WNOHANG) == 0);
  pods.kill(kUid);
}
