"""Plexvol on the machines of a lab as one `kubectl apply` puts it there: by what installer/render makes, and no other way.

The lab's machines have no kubelet: guest/pod.py runs the DaemonSets' pods, and this module is their controller. The
containerd that runs there only tells which other pods there are. Nothing of the host's is used by the pods but what the manifests mount.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from cluster import AGENT, MOUNT_DRIVER, PLUGINS, Cluster, Driver
from containerd import start_containerd

from lab import Lab, Node, etcd, wait_until
from lab.paths import GUEST_SOURCE

RENDER = Path(__file__).resolve().parents[2] / "installer" / "render"
ETCD = "plexvol-etcd"
UNINSTALL = "plexvol-uninstall"
MANIFESTS = "/persist/manifests.json"
CLIENT_PORT = 2389
# All that the container of a controller-manager has of its node's files is the plugin directory (kubeadm).
CONTROLLER_MANAGERS_CONTAINER = ["unshare", "--mount", "sh", "-ec", f"""
    mount -t tmpfs none /mnt
    mkdir -p /mnt/proc /mnt{PLUGINS}
    mount -t proc proc /mnt/proc
    mount --bind {PLUGINS} /mnt{PLUGINS}
    exec chroot /mnt "$@"
""", "sh"]  # fmt: skip


class InstalledCluster(Cluster):
    """`InstalledCluster(lab, image).start()`: pools `thick` and `thin`, and an etcd of our own on all nodes."""

    def __init__(self, lab: Lab, image: Path) -> None:
        super().__init__(lab)
        self._image = image
        self._running: dict[str, Any] = {}  # by DaemonSet: its pods' template

    def start(self) -> "InstalledCluster":
        self.lab.on_all(self._start_kubelet)
        self.lab.on_all(start_containerd)
        self.apply()
        return self

    def apply(self, *flavour: str) -> None:
        """As the DaemonSets' controller does it: what is new on all nodes at once, what has changed on one by one."""
        members = ",".join(f"{node.name}={node.address}" for node in self.lab.nodes)
        pools = ["--pool", "thick=vg0", "--pool", "thin=vg0/thin"]
        kept = str(self.lab.directory / "etcd-files")
        manifests = render(*pools, "--etcd-nodes", members, "--etcd-files", kept, *flavour)
        wanted = {name: find_template(manifests, name) for name in (ETCD, AGENT)}
        new = [name for name in wanted if name not in self._running]
        changed = [name for name in wanted if name not in new and wanted[name] != self._running[name]]
        self._running = wanted
        names = [node.name for node in self.lab.nodes]
        self.lab.on_all(lambda node: self._run_pods(node, manifests, new))
        self.wait_alive(names)
        self.wait_ready(new)
        for node in self.lab.nodes:
            for name in changed:
                node.stop_service(name)
                self._run_pod(node, name)
                self.wait_alive(names)
                self.wait_ready([name])

    def wait_ready(self, pods: list[str]) -> None:
        """On all nodes: before, a DaemonSet's controller takes no other pod of it down."""
        for node in self.lab.nodes:
            for pod in pods:
                wait_until(lambda node=node, pod=pod: self.is_ready(node, pod), 120, f"{pod} of {node.name} is ready")

    @staticmethod
    def is_ready(node: Node, pod: str) -> bool:
        return node.run(["test", "-e", f"/run/pods/{pod}/ready"]).code == 0

    def delete(self) -> None:
        """Both DaemonSets; what they did stays."""
        self._running = {}
        self.lab.on_all(lambda node: [node.stop_service(name) for name in (AGENT, ETCD)])

    def start_uninstall(self) -> None:
        manifests = render("--uninstall")
        self.lab.on_all(lambda node: self._run_pods(node, manifests, [UNINSTALL]))

    def end_uninstall(self) -> None:
        """Its log goes, too: the next one's words are not to be taken for this one's."""
        self.lab.on_all(lambda node: node.stop_service(UNINSTALL))
        self.lab.on_all(lambda node: node.check(["rm", "-f", node.service_log_path(UNINSTALL)]))

    def log(self, name: str, pod: str) -> str:
        return self.node(name).read_file(Node.service_log_path(pod)).decode(errors="replace")

    def wait_log(self, name: str, pod: str, words: str) -> None:
        wait_until(lambda: words in self.log(name, pod), 120, f"{pod} of {name} says: {words}")

    def stop_agent(self, name: str) -> None:
        """As an update begins: politely."""
        self.node(name).stop_service(AGENT)

    def start_agent(self, name: str, image: Path) -> None:
        """As an update ends, with the image of another version: the init containers drop the driver first."""
        self._run_pod(self.node(name), AGENT, image)

    def restart_pod(self, name: str, pod: str) -> None:
        """One whose service was stopped."""
        self._run_pod(self.node(name), pod)

    def controller_manager(self, name: str) -> Driver:
        """The driver as the controller-manager on this node calls it."""
        return Driver(self.node(name), MOUNT_DRIVER, CONTROLLER_MANAGERS_CONTAINER)

    @staticmethod
    def _start_kubelet(node: Node) -> None:
        """All of it that the installer looks at: a command line."""
        sleeper = "import signal; signal.pause()"
        script = f"exec -a kubelet /usr/bin/python3 -c '{sleeper}' --volume-plugin-dir={PLUGINS}"
        node.start_service("kubelet", ["bash", "-c", script])

    def _run_pods(self, node: Node, manifests: list[dict[str, Any]], names: list[str]) -> None:
        node.write_file(MANIFESTS, json.dumps(manifests))
        for name in names:
            self._run_pod(node, name)

    def _run_pod(self, node: Node, name: str, image: Path | None = None) -> None:
        program = str(GUEST_SOURCE / "pod.py")
        files = str(image or self._image)
        node.start_service(name, ["python3", program, MANIFESTS, name, files, node.name, node.address])

    def store_keys(self, name: str, prefix: str = "/plexvol/") -> list[str]:
        node = self.node(name)
        files = f"/run/pods/{ETCD}/volumes/certificates"
        tls = ["--cacert", f"{files}/ca.crt", "--cert", f"{files}/member.crt", "--key", f"{files}/member.key"]
        return etcd.list_keys(node, prefix, f"https://{node.address}:{CLIENT_PORT}", *tls)


def find_template(manifests: list[dict[str, Any]], name: str) -> Any:
    """Of the pods of this DaemonSet: when it is another one, they are replaced."""
    return next(
        one["spec"]["template"]
        for one in manifests
        if one["kind"] == "DaemonSet" and one["metadata"]["name"] == name
    )


def render(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [RENDER, "--image", "plexvol", "--kubernetes", "1.12", *arguments], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))
