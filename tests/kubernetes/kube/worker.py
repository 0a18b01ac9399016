"""containerd and a kubelet on a machine."""

import json
import signal
from pathlib import Path

from lab import wait_until

from .machine import Machine

SOCKET = "/run/containerd/containerd.sock"
_NETWORKS = "/etc/cni/net.d"
_PLUGINS = "/usr/lib/cni"
_START_SECONDS = 120


class Worker:
    """Its pods' network leads nowhere but to the node's other pods."""

    def __init__(self, machine: Machine, address: str, programs: Path, certificates: Path, registry: str) -> None:
        self.machine = machine
        self.address = address
        self._programs = programs
        self._certificates = certificates
        self._write_network()
        machine.see("/etc/containerd").mkdir(exist_ok=True)
        machine.see("/etc/containerd/config.toml").write_text(_containerd_config(registry))
        machine.see("/etc/kubelet.json").write_text(json.dumps(self._kubelet_config()))

    @property
    def name(self) -> str:
        return self.machine.name

    def start_containerd(self) -> None:
        config = ["--config", "/etc/containerd/config.toml"]
        self.machine.start("containerd", ["containerd", *config, "--log-level", "warn"])
        wait_until(lambda: self.machine.ask("ctr", "version").returncode == 0, _START_SECONDS, "containerd answers")

    def import_image(self, archive: Path) -> None:
        """As an administrator does on each node."""
        self.machine.run("ctr", "-n", "k8s.io", "images", "import", archive, timeout=300)

    def start_kubelet(self) -> None:
        self.machine.start("kubelet", [
            self._programs / "kubelet",
            "--config=/etc/kubelet.json",
            f"--kubeconfig={self._certificates}/{self.name}.kubeconfig",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{SOCKET}",
        ])  # fmt: skip

    def stop_kubelet(self, number: int = signal.SIGTERM) -> None:
        self.machine.stop("kubelet", number)

    def _write_network(self) -> None:
        folder = self.machine.see(_NETWORKS)
        folder.mkdir(parents=True, exist_ok=True)
        last = self.address.rpartition(".")[2]
        network = {"cniVersion": "0.4.0", "name": "pods", "type": "bridge", "bridge": "pods",
                   "ipam": {"type": "host-local", "ranges": [[{"subnet": f"10.99.{last}.0/24"}]]}}
        (folder / "pods.conf").write_text(json.dumps(network))

    def _kubelet_config(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": f"{self._certificates}/ca.crt"}},
            "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "failSwapOn": False, "resolvConf": "",
            # To lower it needs CAP_SYS_RESOURCE, which a sandbox around the tests may not have.
            "oomScoreAdj": 0,
            # To attach a volume waits for the node's status.
            "nodeStatusUpdateFrequency": "2s",
            # How full the machine around is says nothing of the tests.
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1Mi", "imagefs.available": "1Mi",
                             "nodefs.inodesFree": "1"},
            "imageGCHighThresholdPercent": 100,
        }


def _containerd_config(registry: str) -> str:
    """Without what a sandbox around the tests may lack: CAP_SYS_RESOURCE, a hugetlb cgroup."""
    return f"""version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:latest"
restrict_oom_score_adj = true
disable_hugetlb_controller = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_PLUGINS}"
conf_dir = "{_NETWORKS}"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
endpoint = ["{registry}"]
"""
