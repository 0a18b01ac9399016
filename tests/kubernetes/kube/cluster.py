"""A cluster of two nodes with a genuine Kubernetes: tests apply manifests, and stop and start its parts."""

import base64
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml
from lab import LabError, wait_until

from .cgroups import Cgroups
from .control_plane import FIRST_SERVICE, SERVICES, ControlPlane
from .images import Images
from .keeper import UNSHARE
from .machine import Machine, Machines
from .programs import find_programs
from .worker import Worker

# Programs that are not Kubernetes' own, and the Debian package of each.
NEEDED_PROGRAMS = {
    "/usr/bin/etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/bin/busybox": "busybox-static",
    "openssl": "openssl",
    "ip": "iproute2",
    "losetup": "util-linux",
}
CONTROL = "control"
NODES = ["node-1", "node-2"]  # as the examples call them
_CONTROL_ADDRESS = "10.98.0.1"
_REGISTRY_PORT = 5000
_RENDER = Path(__file__).resolve().parents[3] / "installer" / "render"
_NOT_APPLIED = ("DaemonSet", "Deployment", "ConfigMap")
_REGISTRY = Path(__file__).resolve().parent / "registry.py"
_READY_SECONDS = 180


def require_all() -> None:
    """Raises with what this machine lacks."""
    if os.geteuid() != 0:
        raise LabError("namespaces need root")
    missing = sorted({package for program, package in NEEDED_PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise LabError(f"not installed: {' '.join(missing)}")
    if find_programs() is None:
        raise LabError("Kubernetes is not compiled: make kubernetes")
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise LabError(f"no namespaces: {tried.stderr.strip()}")
    if lacks := Cgroups.find_missing():
        raise LabError(f"no cgroups for {', '.join(sorted(lacks))}")


class Booted:
    """What every kind of cluster has: machines, one of them with the control plane, and a kubectl for that.

    `with ... as cluster:`. It belongs to this process: when that ends in any way, all of it ends, too.
    """

    _machine_names: tuple[str, ...] = (CONTROL,)
    _kubectl_seconds = 60.0
    _control_plane: ControlPlane

    def __enter__(self) -> Self:
        require_all()
        programs = find_programs()
        assert programs is not None
        self._machines = Machines(*self._machine_names)
        self._machines.__enter__()
        self.control: Machine = self._machines.all[CONTROL]
        try:
            self._boot(programs)
        except BaseException:
            self._machines.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._machines.__exit__()

    def _boot(self, programs: Path) -> None:
        raise NotImplementedError

    def kubectl(self, *words: str, stdin: str = "", timeout: float | None = None) -> str:
        command = self._control_plane.kubectl(*words)
        return self.control.run(*command, stdin=stdin, timeout=timeout or self._kubectl_seconds)

    def get(self, *words: str) -> Any:
        """An object, or a list of them; None when there is none."""
        return json.loads(self.kubectl("get", "--ignore-not-found", "-o", "json", *words) or "null")

    def list_in_use(self, node: str, names: list[str]) -> None:
        """As its kubelet would, in the node's status."""
        found = self.get("node", node)
        found["status"]["volumesInUse"] = names
        del found["metadata"]["resourceVersion"]
        self.kubectl("replace", "--raw", f"/api/v1/nodes/{node}/status", "-f", "-", stdin=json.dumps(found))

    def apply_rights(self, *options: str) -> None:
        """Of installer/render's manifests those that do not run anything: rights, classes, custom resources."""
        words = ["--image", "none", "--kubernetes", "1.20", "--etcd", "http://10.0.0.1:2379", *options]
        rendered = subprocess.run([_RENDER, *words], capture_output=True, text=True, check=True).stdout
        manifests = [one for one in yaml.safe_load_all(rendered) if one["kind"] not in _NOT_APPLIED]
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def account_files(self, name: str) -> dict[str, bytes]:
        """What is in the files "token" and "ca.crt" of this account of kube-system, as soon as it has a token."""

        def find_secret() -> Any:
            account = self.get("-n", "kube-system", "serviceaccount", name) or {}
            found = [self.get("-n", "kube-system", "secret", one["name"]) for one in account.get("secrets", [])]
            return next((secret["data"] for secret in found if secret), None)

        secret = wait_until(find_secret, _READY_SECONDS, f"the account {name} has a token")
        return {file: base64.b64decode(secret[file]) for file in ("token", "ca.crt")}


class Cluster(Booted):
    """Two nodes, each with a kubelet."""

    _machine_names = (CONTROL, *NODES)

    def _boot(self, programs: Path) -> None:
        addresses = {name: f"10.98.0.{10 + number}" for number, name in enumerate(NODES, start=1)}
        self._connect(addresses)
        self._control_plane = ControlPlane(self.control, _CONTROL_ADDRESS, programs, NODES)
        registry = self.control.folder / "registry"
        self.images = Images(self.control.see(registry))
        self.images.add_stand_ins()
        words = [sys.executable, "-B", _REGISTRY, registry, _CONTROL_ADDRESS, str(_REGISTRY_PORT)]
        self.control.start("registry", words)
        url, files = f"http://{_CONTROL_ADDRESS}:{_REGISTRY_PORT}", self._control_plane.files
        self.workers = {
            name: Worker(self._machines.all[name], address, programs, files, url) for name, address in addresses.items()
        }
        with ThreadPoolExecutor() as threads:
            waiting = [threads.submit(worker.start_containerd) for worker in self.workers.values()]
            self._control_plane.start()
            for one in waiting:
                one.result()
        for worker in self.workers.values():
            worker.start_kubelet()
        self.start_controller_manager()
        for name in NODES:
            wait_until(lambda name=name: self.is_ready(name), _READY_SECONDS, f"{name} is ready")

    def _connect(self, addresses: dict[str, str]) -> None:
        """A bridge on the control plane's machine, and a link to each node."""
        self.control.run("ip", "link", "add", "nodes", "type", "bridge")
        self.control.run("ip", "address", "add", f"{_CONTROL_ADDRESS}/24", "dev", "nodes")
        self.control.run("ip", "address", "add", f"{FIRST_SERVICE}/32", "dev", "nodes")
        self.control.run("ip", "link", "set", "nodes", "up")
        for name, address in addresses.items():
            node = self._machines.all[name]
            ends = ["netns", str(self.control.init), "type", "veth", "peer", "name", "eth0", "netns", str(node.init)]
            subprocess.run(["ip", "link", "add", name, *ends], check=True)
            self.control.run("ip", "link", "set", name, "master", "nodes", "up")
            node.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
            node.run("ip", "link", "set", "eth0", "up")
            node.run("ip", "route", "add", SERVICES, "via", _CONTROL_ADDRESS)

    def start_controller_manager(self) -> None:
        """On the first node, as where the control plane's machines are nodes: its own driver is there."""
        self._control_plane.start_controller_manager(self.workers[NODES[0]].machine)

    def restart_kubelet(self, node: str, number: int = signal.SIGTERM) -> None:
        """Waits until the new one has said that it is ready: what the API server knew of the old one does not count."""
        worker = self.workers[node]
        worker.stop_kubelet(number)
        before = self._heartbeat(node)
        worker.start_kubelet()
        wait_until(lambda: self._heartbeat(node) > before, _READY_SECONDS, f"the kubelet of {node} answers")
        wait_until(lambda: self.is_ready(node), _READY_SECONDS, f"{node} is ready again")

    def _heartbeat(self, node: str) -> str:
        conditions = self.get("node", node)["status"]["conditions"]
        return max(one["lastHeartbeatTime"] for one in conditions if one["type"] == "Ready")

    def bring_image(self, archive: Path) -> None:
        """Imports it on each node."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda worker: worker.import_image(archive), self.workers.values()))

    def try_kubectl(self, *words: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        return self.control.ask(*self._control_plane.kubectl(*words), timeout=timeout)

    def kubectl_from_outside(self) -> str:
        """For a person at a shell of this machine."""
        return shlex.join(self.control.enter(self._control_plane.kubectl()))

    def is_ready(self, node: str) -> bool:
        found = self.get("node", node)
        return found is not None and any(
            one["type"] == "Ready" and one["status"] == "True" for one in found["status"].get("conditions", []))

    @contextmanager
    def only_on(self, nodes: list[str]) -> Iterator[None]:
        """Pods are put on these nodes alone."""
        others = [name for name in self.workers if name not in nodes]
        for name in others:
            self.kubectl("cordon", name)
        yield
        for name in others:
            self.kubectl("uncordon", name)

    def describe(self) -> str:
        """What there is, for whoever reads of a failure."""
        shown = [
            self.try_kubectl("get", "nodes,pods,daemonsets,deployments,pv,pvc", "-A", "-o", "wide"),
            self.try_kubectl("get", "events", "-A"),
            self.try_kubectl("-n", "kube-system", "logs", "-l", "app in (plexvold, plexvol-controller)", "--prefix", "--tail=40"),
        ]
        return "\n".join(done.stdout + done.stderr for done in shown)

    def logs(self) -> dict[str, str]:
        """What each service said, by machine and service."""
        return {
            f"{service} on {machine.name}": text
            for machine in self._machines.all.values()
            for service, text in machine.logs().items()
        }
