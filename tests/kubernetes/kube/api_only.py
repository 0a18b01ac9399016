"""A genuine API server and controller-manager without nodes, one agent, and the controller: `with ApiOnly() as cluster:`.

No kubelet runs pods, so there can be as many claims and nodes as the API server has room for. All is on one machine. The
agent's pool holds image files in memory. The controller has the rights that installer/render gives it, and asks the API
server by way of count_at.py.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab import wait_until

from . import rights
from .cluster import Booted
from .control_plane import FIRST_SERVICE, ControlPlane

_ROOT = Path(__file__).resolve().parents[3]
BUILD = _ROOT / os.environ.get("PLEXVOL_BUILD", "build")
NODE = "node-1"  # of the agent
CLASS = "at-once"
_ADDRESS = "10.98.0.1"
_PORT = 8901
_SOCKET = "/run/plexvol/plexvold.sock"
_SECONDS = 180
AGENT, CONTROLLER = "plexvold", "plexvol-controller"
# It binds claims, and does nothing to nodes that have no kubelet. Its usual 20 requests a second are for larger clusters.
_MANAGER = ["--controllers=persistentvolume-binder,pvc-protection,pv-protection,serviceaccount,serviceaccount-token",
            "--kube-api-qps=500", "--kube-api-burst=1000"]  # fmt: skip
# kubectl makes five requests a second.
_KUBECTLS = 10


class ApiOnly(Booted):
    _kubectl_seconds = 120.0

    def _boot(self, programs: Path) -> None:
        for address in (_ADDRESS, FIRST_SERVICE):
            self.control.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        self._control_plane = ControlPlane(self.control, _ADDRESS, programs, [])
        self._folder = self.control.folder / "controller"
        self.see(self._folder).mkdir()
        with ThreadPoolExecutor() as threads:
            agent = threads.submit(self._start_agent)
            self._control_plane.start_api()
            self._control_plane.start_controller_manager(self.control, *_MANAGER)
            self._give_rights()
            agent.result()
        self.apply(node(NODE), storage_class())
        self._start_proxy()

    def _start_agent(self) -> None:
        state = "/var/lib/plexvol"
        config = {
            "node_name": NODE, "pools": [{"name": "default", "type": "file", "directory": "/var/lib/images"}],
            "sockets": [_SOCKET], "store": {"kind": "embedded", "directory": f"{state}/store"},
            "state_directory": state, "device_directory": f"{self.control.folder}/devices", "log_level": "info",
        }  # fmt: skip
        for folder in ("/run/plexvol", f"{self.control.folder}/devices"):
            self.see(folder).mkdir(exist_ok=True)
        path = self.control.folder / "plexvold.json"
        self.see(path).write_text(json.dumps(config))
        self.control.start(AGENT, [BUILD / "plexvold", "--config", path])
        wait_until(lambda: "serving " in self.log(AGENT), _SECONDS, "the agent listens")

    def _give_rights(self) -> None:
        wait_until(lambda: self.get("namespace", "kube-system") is not None, _SECONDS, "there is a namespace")
        self.apply_rights()
        for name, content in self.account_files(CONTROLLER).items():
            self.see(self._folder / name).write_bytes(content)

    def _start_proxy(self) -> None:
        files = [self._folder / name for name in ("ca.crt", "token")]
        words = [self._control_plane.server, *files, str(_PORT), self._folder / "log"]
        self.control.start("proxy", ["python3", "-B", Path(__file__).with_name("count_at.py"), *words])
        connect = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{_PORT}"]
        wait_until(lambda: self.control.ask(*connect).returncode == 0, _SECONDS, "the proxy listens")

    def start_controller(self) -> None:
        """Waits until it leads."""
        self.control.start(CONTROLLER, [
            BUILD / "plexvol-controller", f"--server=http://127.0.0.1:{_PORT}", "--namespace=kube-system",
            "--identity=one", f"--agent-socket={_SOCKET}",
        ])  # fmt: skip
        wait_until(lambda: 'msg="leading"' in self.log(CONTROLLER), _SECONDS, "the controller leads")

    def stop_controller(self) -> None:
        self.control.stop(CONTROLLER)

    def ask_agent(self, call: str, body: dict[str, Any]) -> Any:
        """What it answers, as the controller would be told."""
        headers = ["-H", "Plexvol-Protocol: 1", "-H", "Plexvol-Timeout-Ms: 60000"]
        asked = ["curl", "-sS", "--unix-socket", _SOCKET, *headers, "-d", json.dumps(body), f"http://agent/v1/{call}"]
        answer = json.loads(self.control.run(*asked))
        assert "error" not in answer, answer
        return answer["result"]

    def see(self, path: str | Path) -> Path:
        return self.control.see(path)

    def log(self, service: str) -> str:
        path = self.control.log_path(service)
        return path.read_text(errors="replace") if path.exists() else ""

    def pid(self, service: str) -> int:
        """Of what runs now, as this side sees it."""
        return self.control.pid(service)

    def find_all(self, *words: str) -> list[Any]:
        """The objects, which may be none."""
        return list((self.get(*words) or {"items": []})["items"])

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def create(self, manifests: list[dict[str, Any]]) -> None:
        """As fast as it goes."""
        parts = [manifests[first::_KUBECTLS] for first in range(min(_KUBECTLS, len(manifests)))]

        def create_some(some: list[dict[str, Any]]) -> None:
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": some})
            self.kubectl("create", "--validate=false", "-f", "-", stdin=text, timeout=_SECONDS)

        with ThreadPoolExecutor(_KUBECTLS) as threads:
            list(threads.map(create_some, parts))

    def count_bound(self) -> int:
        phases = self.kubectl("get", "pvc", "-o", "jsonpath={.items[*].status.phase}")
        return phases.split().count("Bound")

    def wait_bound(self, count: int, seconds: float) -> None:
        """So many claims, all that there are."""
        wait_until(lambda: self.count_bound() == count, seconds, f"{count} claims are bound", interval=1)

    def requests(self) -> list[rights.Request]:
        """Of the controller, since they were last forgotten."""
        return rights.read(self.see(self._folder / "log"))

    def forget_requests(self) -> None:
        self.see(self._folder / "log").write_text("")

    def warnings(self) -> list[str]:
        """What the controller has said of failures, in its log and in events."""
        said = [line for line in self.log(CONTROLLER).splitlines() if " warning msg=" in line or " error msg=" in line]
        events = self.find_all("events", "--field-selector=type=Warning")
        return said + [event["message"] for event in events]


def storage_class() -> dict[str, Any]:
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS},
            "provisioner": "plexvol.io/flexvolume", "parameters": {"copies": "1", "pool": "default"}}


def claim(name: str) -> dict[str, Any]:
    spec = {"storageClassName": CLASS, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def node(name: str, labels: int = 0) -> dict[str, Any]:
    """With labels as long as those of volumes, which nobody of Plexvol touches."""
    found = {f"volume.example.io/pvc-{number:08x}-0000-4000-8000-000000000000": "copy" for number in range(labels)}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": found}}
