"""A genuine Kubernetes whose nodes are the emulated machines of a lab, and whose control plane is beside them on this
machine: `with LabKubernetes(lab) as kubernetes:`. Its `agents` are Plexvol on the nodes (tests/lab/cluster.py).

Plexvol's etcd, three members, is beside the control plane, too: on emulated processors, which a kubelet and a containerd
keep busy, its members take each other for dead.
"""

import json
import shlex
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cluster import ATTACH_DRIVER, BUILD, PLUGINS
from cluster import Cluster as LabCluster
from containerd import import_pause_image, start_containerd
from lab import Lab, Node, etcd, wait_until
from lab.paths import GUEST_SOURCE

from .cluster import CONTROL, Cluster
from .control_plane import FIRST_SERVICE, SERVICES, ControlPlane

ADDRESS = "10.77.0.254"  # of the control plane, in the lab's network
_NUMBER = 254
_READY_SECONDS = 300
KUBELET = "kubelet"
CONTROLLER = "plexvol-controller"
_NAMESPACE = "kube-system"
_LOCK = "plexvol.io-flexvolume"
_TOKEN = "/persist/kubernetes/token"
STORE = (1, 2, 3)  # the members of Plexvol's etcd
# Whoever is not told otherwise is started again after a crash, as a kubelet does it.
_RESTART = """trap 'kill $child; wait $child; exit' TERM; while :; do "$@" & child=$!; wait $child; sleep 1; done"""
_FILES = "/persist/kubernetes"  # of a node, where they survive its power losses
CA = f"{_FILES}/ca.crt"
_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
# Pods of the host's network are all there are: what any other got would lead nowhere.
_NETWORK = {"cniVersion": "0.4.0", "name": "pods", "type": "loopback"}
# What a machine has forgotten after a boot.
_PREPARE = f"""
ip route replace {SERVICES} via {ADDRESS}
mkdir -p /etc/cni/net.d
cp {_FILES}/pods.conf /etc/cni/net.d/
while [ ! -e /sys/fs/cgroup/cgroup.controllers ]; do sleep 0.1; done
for controller in {' '.join(_CONTROLLERS)}; do echo +$controller >/sys/fs/cgroup/cgroup.subtree_control; done
"""


class Agents(LabCluster):
    """As they are installed, but for the place of their etcd."""

    def __init__(self, lab: Lab, endpoints: list[str], lease_seconds: int) -> None:
        super().__init__(lab)
        self._endpoints = endpoints
        self._lease_seconds = lease_seconds

    def start(self) -> "Agents":
        self.lab.on_all(self._install)
        self.wait_alive([node.name for node in self.lab.nodes])
        return self

    def _install(self, node: Node) -> None:
        super()._install(node)
        # It has no executable of its folder's name, as kubelets want it, and one that fails hides all others from them.
        node.sh(f"rm -r {Path(ATTACH_DRIVER).parent}")

    def _config(self, node: Node) -> dict[str, Any]:
        store = {"kind": "etcd", "endpoints": self._endpoints, "lease_seconds": self._lease_seconds}
        return {**super()._config(node), "store": store, "log_level": "info"}


class LabKubernetes(Cluster):
    _machine_names = (CONTROL,)

    def __init__(self, lab: Lab, lease_seconds: int) -> None:
        self.lab = lab
        self._names = [node.name for node in self.lab.nodes]
        self.agents = Agents(lab, [_store_url(number) for number in STORE], lease_seconds)

    def _boot(self, programs: Path) -> None:
        self._programs = programs
        addresses = [f"{ADDRESS}/24", f"{FIRST_SERVICE}/32"]
        self.lab.plug(CONTROL, _NUMBER, Path(f"/proc/{self.control.init}/ns/net"), addresses)
        self._control_plane = ControlPlane(self.control, ADDRESS, programs, self._names)
        for number in STORE:
            self.start_store(number)
        with ThreadPoolExecutor() as threads:
            prepared = threads.submit(self.lab.on_all, self._prepare)
            self._control_plane.start()
            self.start_controller_manager()
            prepared.result()
        self.agents.start()
        # It finds a driver that is there, or one that comes by a rename, as the installer brings it; not one that is copied.
        self.lab.on_all(self._start_kubelet)
        for name in self._names:
            wait_until(lambda name=name: self.is_ready(name), _READY_SECONDS, f"{name} is ready", interval=1)
        self._install_controller()

    def start_store(self, number: int) -> None:
        """A member of Plexvol's etcd, now or again."""
        members = ",".join(f"store-{other}={_peer_url(other)}" for other in STORE)
        self.control.start(f"store-{number}", [
            "/usr/bin/etcd",
            f"--name=store-{number}",
            f"--data-dir={self.control.folder}/store-{number}",
            f"--listen-client-urls={_store_url(number)}",
            f"--advertise-client-urls={_store_url(number)}",
            f"--listen-peer-urls={_peer_url(number)}",
            f"--initial-advertise-peer-urls={_peer_url(number)}",
            f"--initial-cluster={members}",
            "--log-level=warn",
        ])  # fmt: skip

    def kill_store(self, number: int) -> None:
        self.control.stop(f"store-{number}", signal.SIGKILL)

    def lose_store(self, number: int) -> None:
        """As with the machine's power: who asks this member gets no answer, not even that it is gone. heal() of the lab and
        start_store() bring it back."""
        self.lab.cut(CONTROL, port=_store_port(number))
        self.kill_store(number)

    def make_store_leader(self, number: int) -> None:
        leader = self.store_leader()
        if leader == number:
            return
        member = self._store_status(number)["header"]["member_id"]
        url = f"{_store_url(leader)}/v3/maintenance/transfer-leadership"
        self.control.run("curl", "-fsS", "--max-time", "5", "-d", json.dumps({"targetID": member}), url)
        wait_until(lambda: self.store_leader() == number, _READY_SECONDS, f"store-{number} leads")

    def store_leader(self) -> int:
        """The number of the member that leads."""
        statuses = {number: self._store_status(number) for number in STORE}
        return next(number for number, status in statuses.items() if status["header"]["member_id"] == status["leader"])

    def watch_store(self) -> "subprocess.Popen[str]":
        """Each line of its output tells of changes, as etcd's gateway does; to be killed."""
        asked = json.dumps({"create_request": {"key": etcd.encode("/"), "range_end": etcd.encode("\0")}})
        argv = self.control.inside(["curl", "-sN", "-d", asked, f"{_store_url(self.store_follower())}/v3/watch"])
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def store_follower(self) -> int:
        leader = self.store_leader()
        return next(number for number in STORE if number != leader)

    def _store_status(self, number: int) -> Any:
        url = f"{_store_url(number)}/v3/maintenance/status"
        return json.loads(self.control.run("curl", "-fsS", "--max-time", "5", "-d", "{}", url))

    def start_controller_manager(self) -> None:
        self._control_plane.start_controller_manager(self.control)

    def _prepare(self, node: Node) -> None:
        files = self.control.see(self._control_plane.files)
        node.write_file(CA, (files / "ca.crt").read_bytes())
        node.write_file(f"{_FILES}/kubeconfig", (files / f"{node.name}.kubeconfig").read_bytes())
        node.write_file(f"{_FILES}/kubelet.json", json.dumps(_kubelet_config()))
        node.write_file(f"{_FILES}/pods.conf", json.dumps(_NETWORK))
        node.write_file(f"{_FILES}/prepare", _PREPARE)
        start_containerd(node)
        answers = f"containerd of {node.name} answers"
        wait_until(lambda: node.run(["ctr", "version"]).code == 0, _READY_SECONDS, answers, interval=1)
        import_pause_image(node)

    def _start_kubelet(self, node: Node) -> None:
        self.start_service(node, KUBELET, [
            str(self._programs / "kubelet"),
            f"--config={_FILES}/kubelet.json",
            f"--kubeconfig={_FILES}/kubeconfig",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--volume-plugin-dir={PLUGINS}",
            "--housekeeping-interval=1m",  # what cAdvisor counts is not wanted here, and costs a tenth of the processor
            "--container-runtime=remote",
            "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        ])  # fmt: skip

    def _install_controller(self) -> None:
        """One on each node, with the rights that installer/render asks for. The StorageClasses come with them."""
        self.apply_rights("--pool", "thick=vg0")
        token = self.account_files(CONTROLLER)["token"]

        def start(node: Node) -> None:
            node.write_file(_TOKEN, token)
            self.start_service(node, CONTROLLER, ["sh", "-c", _RESTART, "sh", str(BUILD / "plexvol-controller"),
                f"--server=https://{FIRST_SERVICE}:443", f"--ca-file={CA}", f"--token-file={_TOKEN}",
                f"--identity={node.name}", f"--namespace={_NAMESPACE}"])  # fmt: skip

        self.lab.on_all(start)

    def leader(self) -> str:
        """The node whose controller leads; "": none."""
        lock = self.get("lease", _LOCK, "-n", _NAMESPACE)
        return str(lock["spec"].get("holderIdentity", "")) if lock else ""

    def make_leader(self, name: str) -> None:
        """The others wait for it to end from then on."""
        others = [node for node in self.lab.nodes if node.name != name]
        for node in others:
            self._stop_controller(node)
        wait_until(lambda: self.leader() == name, _READY_SECONDS, f"the controller of {name} leads")
        for node in others:
            node.resume_service(CONTROLLER)

    def resume_controllers(self) -> None:
        """Those that a test has ended."""
        start = ["/bin/busybox", "sh", str(GUEST_SOURCE / "service.sh"), "start", CONTROLLER]
        self.lab.on_all(lambda node: node.run(start))

    @staticmethod
    def _stop_controller(node: Node) -> None:
        """Politely, so that it gives up the lead; it can be resumed."""
        node.check(["/bin/busybox", "sh", str(GUEST_SOURCE / "service.sh"), "end", CONTROLLER, "TERM"])

    def kubectl_argv(self, *words: str) -> list[str]:
        """For a caller that reads its output as it comes."""
        return self.control.inside(self._control_plane.kubectl(*words))

    def stop_apiserver(self) -> None:
        self.control.stop("apiserver", signal.SIGKILL)

    def start_apiserver(self) -> None:
        self._control_plane.start_apiserver()

    def describe(self) -> str:
        shown = [
            self.try_kubectl("get", "nodes,pods,statefulsets,deployments,pv,pvc", "-A", "-o", "wide"),
            self.try_kubectl("get", "nodes", "--show-labels"),
            self.try_kubectl("get", "events", "-A", "--sort-by=.metadata.creationTimestamp"),
        ]
        return "\n".join(done.stdout + done.stderr for done in shown)

    @staticmethod
    def start_service(node: Node, name: str, argv: list[str]) -> None:
        """One that needs the route to the API server. It wakes up less often than Go would have it: see lab/etcd.py."""
        slack = f"echo {etcd.TIMER_SLACK_NS} >/proc/self/timerslack_ns"
        node.start_service(name, ["sh", "-c", f"sh {_FILES}/prepare; {slack}; exec {shlex.join(argv)}"])


def _kubelet_config() -> dict[str, object]:
    """Times are Kubernetes' own defaults."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": CA}},
        "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "failSwapOn": False, "resolvConf": "",
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1Mi", "imagefs.available": "1Mi",
                         "nodefs.inodesFree": "1"},
        "imageGCHighThresholdPercent": 100,
    }  # fmt: skip


def _store_port(number: int) -> int:
    return 3000 + 2 * number


def _store_url(number: int) -> str:
    return f"http://{ADDRESS}:{_store_port(number)}"


def _peer_url(number: int) -> str:
    return f"http://{ADDRESS}:{_store_port(number) + 1}"
