"""Plexvol on a cluster as a user puts it there: by kubectl, what installer/image and installer/render make."""

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from lab import wait_until

from .cluster import NODES, Cluster
from .pools import ImagePools

_ROOT = Path(__file__).resolve().parents[3]
_VERSION = "0.1.0"
PLUGINS = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"  # a kubelet's default
DRIVER = f"{PLUGINS}/plexvol~plexvol/plexvol"
AGENT = "plexvold"
CONTROLLER = "plexvol-controller"
ETCD = "plexvol-etcd"
UNINSTALL = "plexvol-uninstall"
_SECONDS = 240


class Installation:
    def __init__(self, cluster: Cluster, build: Path, folder: Path, pools: ImagePools) -> None:
        self.cluster = cluster
        self._build = build
        self._folder = folder
        self._pools = pools
        self._image = f"docker.io/library/plexvol:{_VERSION}"

        self._archive = folder / "plexvol.tar"

    def make_image(self) -> None:
        """It needs no cluster."""
        command = [_ROOT / "installer/image", self._build, _VERSION, self._archive]
        subprocess.run(command, check=True, capture_output=True)

    def bring_image(self) -> None:
        """To each node, by hand."""
        self.cluster.bring_image(self._archive)

    def bring_next_image(self) -> None:
        """By the registry, and of another version as far as anybody can tell: what follows an executable's last
        section does nothing."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for target in ("usr/sbin/plexvold", "usr/sbin/plexvol-controller", "usr/bin/plexvol"):
                content = (self._build / Path(target).name).read_bytes() + b"next"
                entry = tarfile.TarInfo(target)
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
        self.cluster.images.add_above(self._archive, layer.getvalue(), "plexvol", "next")
        self._image = "docker.io/library/plexvol:next"

    def apply(self, *flavour: str) -> None:
        """Waits until all pods of the DaemonSets and the Deployment are those of these manifests, and ready."""
        self.cluster.kubectl("apply", "-f", "-", stdin=self._render_installation(*flavour))
        self.wait_rolled_out(ETCD)
        self.wait_rolled_out(AGENT)
        self.wait_rolled_out(CONTROLLER, "deployment")

    def _render_installation(self, *flavour: str) -> str:
        first = self.cluster.workers[NODES[0]]
        etcd = ["--etcd-nodes", f"{first.name}={first.address}", "--etcd-files", str(self._folder / "etcd-files")]
        return self.render(*self._pools.words, *etcd, *flavour)

    def render(self, *arguments: str) -> str:
        command = [_ROOT / "installer/render", "--image", self._image, "--kubernetes", "1.20", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def wait_rolled_out(self, name: str, kind: str = "daemonset") -> None:
        self._kubectl("rollout", "status", f"{kind}/{name}", f"--timeout={_SECONDS}s")

    def delete_agents(self) -> None:
        """Their DaemonSet, and waits until none runs. The pods' objects stay until their kubelets have tidied up."""
        self._kubectl("delete", "daemonset", AGENT, "--wait=false")
        for worker in self.cluster.workers.values():
            machine = worker.machine
            gone = f"{machine.name} has no agent"
            wait_until(lambda machine=machine: AGENT not in machine.processes(), _SECONDS, gone)

    def delete_controller(self) -> None:
        """Its Deployment."""
        self._kubectl("delete", "deployment", CONTROLLER, "--wait=false")

    def delete_etcd(self) -> None:
        """Its DaemonSet."""
        self._kubectl("delete", "daemonset", ETCD, "--wait=false")

    def _kubectl(self, *words: str) -> None:
        self.cluster.kubectl("-n", "kube-system", *words, timeout=_SECONDS + 30)

    def plexvol(self, *words: str, node: str = NODES[0]) -> str:
        return self.cluster.workers[node].machine.run(DRIVER, *words)

    def make_volume(self, name: str, size: str, *options: str) -> list[str]:
        """The nodes whose pods can mount it."""
        nodes = NODES[: self._pools.replicas]
        where = ["--replicas", str(len(nodes)), "--nodes", ",".join(nodes)]
        self.plexvol("volume", "create", name, "--size", size, *where, *options)
        return nodes

    def list_volumes(self) -> dict[str, Any]:
        """By their names."""
        listed = json.loads(self.plexvol("volume", "list", "-o", "json"))
        return {volume["name"]: volume for volume in listed["volumes"]}

    def volume(self, name: str) -> Any:
        return self.list_volumes()[name]

    def list_left(self, node: str) -> list[str]:
        """What the pools on this node hold."""
        return self._pools.list_left(self.cluster.workers[node].machine)

    def call(self, node: str, *words: str) -> Any:
        """A FlexVolume call on this node, and its reply."""
        return json.loads(self.cluster.workers[node].machine.ask(DRIVER, *words).stdout)

    def driver(self, node: str) -> bytes:
        """The executable that this node's kubelet runs."""
        return self.cluster.workers[node].machine.see(DRIVER).read_bytes()
