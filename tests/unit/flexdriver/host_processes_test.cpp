#include "flexdriver/install/host_processes.h"

#include <doctest/doctest.h>

using plexvol::driver::is_in_pod;

TEST_CASE("a pod's cgroup is known under every driver and runtime [S1]") {
  for (const char* cgroup : {
           "11:memory:/kubepods/besteffort/pod0b9a4c3e-6b1f-4d5e-8f37-1c2d3e4f5a6b/0123\n",
           "0::/kubepods.slice/kubepods-pod0b9a4c3e_6b1f_4d5e_8f37_1c2d3e4f5a6b.slice/"
           "cri-containerd-0123.scope\n",
           "0::/kubelet/kubepods/pod8e1fa1c5a1b2c3d4e5f60718293a4b5c/0123\n",
           "0::/../../pod0b9a4c3e-6b1f-4d5e-8f37-1c2d3e4f5a6b/0123\n",
           "0::/system.slice/a.service\n1:name=x:/pod8e1fa1c5a1b2c3d4e5f60718293a4b5c:cri-o:1\n",
       }) {
    CHECK_MESSAGE(is_in_pod(cgroup), cgroup);
  }
}

TEST_CASE("services, sessions and containers beside Kubernetes are no pods [S1]") {
  for (const char* cgroup : {
           "",
           "0::/\n",
           "0::/system.slice/kubelet.service\n",
           "0::/user.slice/user-0.slice\n",
           "0::/docker/8e1fa1c5a1b2c3d4e5f60718293a4b5c8e1fa1c5a1b2c3d4e5f60718293a4b5c\n",
           "0::/machine.slice/"
           "libpod-8e1fa1c5a1b2c3d4e5f60718293a4b5c8e1fa1c5a1b2c3d4e5f60718293a4b5c.scope\n",
           "0::/system.slice/podman.service\n",
           "0::/pod\n",
           "0::/pod0b9a4c3e\n",
       }) {
    CHECK_FALSE_MESSAGE(is_in_pod(cgroup), cgroup);
  }
}
