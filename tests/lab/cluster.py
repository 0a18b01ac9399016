"""Plexvol on the machines of a lab: etcd, an agent on every node, and the driver as kubelets find it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containerd import start_containerd
from lab import Command, Lab, Node, Result, etcd, wait_until
from lab.paths import GUEST_SOURCE

BUILD = Path(__file__).resolve().parents[2] / "build"
PLUGINS = "/var/lib/kubelet/volumeplugins"
# One driver for each value of the capability `attach`: the settings file beside an executable decides.
MOUNT_DRIVER = f"{PLUGINS}/plexvol~plexvol/plexvol"
ATTACH_DRIVER = f"{PLUGINS}/plexvol~attached/plexvol"
AGENT = "plexvold"
AGENT_PID = f"/run/plexlab/{AGENT}.pid"
CONFIG = "/etc/plexvol/plexvold.json"
UNIT = Path(__file__).resolve().parents[2] / "installer" / "plexvold.service"
LEASE_SECONDS = 8
NO_ANSWER = "no answer in time"  # of etcd


class CallFailed(Exception):
    """A FlexVolume call was answered with Failure: its message."""


@dataclass(frozen=True)
class Reply:
    """What a caller of the driver sees."""

    code: int
    json: dict[str, Any]

    @property
    def succeeded(self) -> bool:
        return self.json["status"] == "Success"

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))


def read_reply(result: Result) -> Reply:
    """Reads an answer as the kubelet does: both streams together are exactly one JSON object."""
    return Reply(result.code, json.loads(result.stdout + result.stderr))


class Driver:
    """The FlexVolume calls on one node, as its kubelet (or the controller-manager beside it) makes them."""

    def __init__(self, node: Node, path: str, inside: Sequence[str] = ()) -> None:
        """`inside` are the words before it that bring it where its caller is."""
        self.node = node
        self._argv = [*inside, path]

    def start(self, *arguments: str) -> Command:
        return self.node.popen([*self._argv, *arguments])

    def call(self, *arguments: str, timeout: float = 300) -> Reply:
        return read_reply(self.node.run([*self._argv, *arguments], timeout=timeout))

    def must(self, *arguments: str, timeout: float = 300) -> Reply:
        """Once more where etcd gave no answer in time, as a kubelet would: the machines may be slow."""
        for _ in range(3):
            reply = self.call(*arguments, timeout=timeout)
            if reply.succeeded or NO_ANSWER not in str(reply.json):
                break
        if not reply.succeeded:
            raise CallFailed(f"{self.node.name}: {arguments[0]}: {reply.json}")
        return reply


def options(name: str, *, readwrite: str = "rw", fs_type: str = "", **own: str) -> str:
    """The options object as a kubelet sends it: its own keys, then the user's."""
    return json.dumps(
        {
            "kubernetes.io/fsType": fs_type,
            "kubernetes.io/pvOrVolumeName": name,
            "kubernetes.io/readwrite": readwrite,
            **own,
        },
        sort_keys=True,
    )


def pod_dir(name: str, pod: str = "pod1") -> str:
    return f"/var/lib/kubelet/pods/{pod}/volumes/plexvol~plexvol/{name}"


def device_mount_dir(name: str, driver: str = "attached") -> str:
    return f"/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/{driver}/mounts/{name}"


def read_bounds() -> list[str]:
    """What systemd would take from the agent: so each test here shows that nothing of it is needed."""
    found = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None, f"{UNIT} bounds nothing"
    kept = [f"+{word.removeprefix('CAP_').lower()}" for word in found[1].split()]
    return ["setpriv", "--no-new-privs", f"--bounding-set={','.join(['-all', *kept])}", "--"]


def start_agent(node: Node, build: Path = BUILD) -> None:
    """As a service of the machine. One that was there before must have been stopped."""
    node.start_service(AGENT, [*read_bounds(), str(build / "plexvold")])


class Cluster:
    """`Cluster(lab).start()`: every node of the lab serves volumes from the pools `thick`, `thin` and `file`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def node(self, name: str) -> Node:
        return self.lab.node(name)

    def start(self) -> "Cluster":
        self.lab.start_etcd()
        self.lab.on_all(start_containerd)
        self.lab.on_all(self._install)
        self.wait_alive([node.name for node in self.lab.nodes])
        return self

    def _install(self, node: Node) -> None:
        for path, attach in ((MOUNT_DRIVER, False), (ATTACH_DRIVER, True)):
            folder = Path(path).parent
            node.sh(f"mkdir -p {folder} && cp {BUILD}/plexvol {path}")
            node.write_file(f"{folder}/.plexvol.json", json.dumps({"attach": attach, "timeout_seconds": 240}))
        node.sh("mkdir -p /var/lib/plexvol/images")
        node.write_file(CONFIG, json.dumps(self._config(node)))
        start_agent(node)

    def install_from(self, build: Path, name: str) -> None:
        """Agent and driver of this node become those of another build."""
        node = self.node(name)
        node.stop_service(AGENT)
        for path in (MOUNT_DRIVER, ATTACH_DRIVER):
            node.sh(f"cp {build}/plexvol {path}.new && mv {path}.new {path}")
        start_agent(node, build)
        self.wait_alive([other.name for other in self.lab.nodes])

    def reconfigure(self, **settings: Any) -> None:
        """Every agent is started anew with these settings beside the usual ones."""
        for node in self.lab.nodes:
            node.write_file(CONFIG, json.dumps({**self._config(node), **settings}))
            self.kill_agent(node.name)
            self.resume_agent(node.name)
        self.wait_alive([node.name for node in self.lab.nodes])

    def _config(self, node: Node) -> dict[str, Any]:
        return {
            "node_name": node.name,
            "address": node.address,
            "pools": [
                {"name": "thick", "type": "lvm", "volume_group": "vg0"},
                {"name": "thin", "type": "lvm-thin", "volume_group": "vg0", "thin_pool": "thin"},
                {"name": "file", "type": "file", "directory": "/var/lib/plexvol/images"},
            ],
            "store": {
                "kind": "etcd",
                "endpoints": [other.etcd_url for other in self.lab.nodes],
                "lease_seconds": LEASE_SECONDS,
            },
            "drbd": {"helper": MOUNT_DRIVER},
            "log_level": "debug",
        }

    def wait_alive(self, names: list[str]) -> None:
        """Until the agents of these nodes hold their leases, and all of them know it."""

        def wait(node: Node) -> None:
            wait_until(
                lambda: set(names) <= set(self.alive_as_seen_by(node.name)), 120, f"{node.name} sees {names} alive"
            )

        self.lab.on_all(wait, [self.node(name) for name in names])

    def alive_as_seen_by(self, name: str) -> list[str]:
        result = self.plexvol(name, "node", "list", "-o", "json")
        if result.code != 0:
            return []
        return [node["name"] for node in json.loads(result.stdout)["nodes"] if node["alive"]]

    def driver(self, name: str, *, attach: bool = False) -> Driver:
        return Driver(self.node(name), ATTACH_DRIVER if attach else MOUNT_DRIVER)

    def plexvol(self, name: str, *arguments: str, timeout: float = 120) -> Result:
        """A command for people, on a node."""
        return self.node(name).run([MOUNT_DRIVER, *arguments], timeout=timeout)

    def volume(self, asked: str, volume: str) -> dict[str, Any] | None:
        """What `plexvol volume show` says on node `asked`; None when there is no such volume."""
        result = self.plexvol(asked, "volume", "show", volume, "-o", "json")
        return json.loads(result.stdout) if result.code == 0 else None

    def replica(self, asked: str, volume: str, node: str) -> dict[str, Any]:
        shown = self.volume(asked, volume)
        if shown is None:
            return {}
        return next((replica for replica in shown["replicas"] if replica["node"] == node), {})

    def other_copy(self, asked: str, volume: str, node: str) -> str:
        """The node of the copy that is not there."""
        shown = self.volume(asked, volume)
        assert shown is not None
        (other,) = [replica["node"] for replica in shown["replicas"] if replica["node"] != node]
        return str(other)

    def create_volume(self, asked: str, volume: str, size: str, *nodes: str, pool: str = "thick") -> None:
        """With one copy on each of these nodes."""
        copies = ("--replicas", str(len(nodes)), "--nodes", ",".join(nodes))
        self.insist(asked, "volume", "create", volume, "--size", size, *copies, "--pool", pool)

    def delete_volume(self, asked: str, volume: str) -> None:
        self.insist(asked, "volume", "delete", volume)

    def insist(self, asked: str, *command: str) -> None:
        """Once more where etcd gave no answer in time, as whoever needs it would: the machines may be slow."""

        def succeeds() -> bool:
            done = self.plexvol(asked, *command)
            if done.code != 0 and NO_ANSWER not in done.text:
                raise AssertionError(f"plexvol {' '.join(command)}: {done.text}")
            return done.code == 0

        wait_until(succeeds, 180, f"plexvol {' '.join(command)}")

    def delete_all_volumes(self, asked: str) -> None:
        listed = json.loads(self.plexvol(asked, "volume", "list", "-o", "json").stdout)
        for volume in listed["volumes"]:
            self.delete_volume(asked, volume["name"])

    def wait_state(self, asked: str, volume: str, state: str, timeout: float = 120) -> None:
        def look() -> bool:
            shown = self.volume(asked, volume)
            return shown is not None and shown["state"] == state

        wait_until(look, timeout, f"volume {volume} is {state}")

    def wait_detached(self, asked: str, volume: str, timeout: float = 120) -> None:
        def look() -> bool:
            shown = self.volume(asked, volume)
            return shown is not None and shown["attached_to"] == ""

        wait_until(look, timeout, f"volume {volume} is attached nowhere")

    def restore(self) -> None:
        """All machines on, the network whole, etcd and the agents running, whatever was done to them."""
        self.lab.restore()

        def start(node: Node) -> None:
            for service in ("etcd", AGENT):
                node.run(["/bin/busybox", "sh", str(GUEST_SOURCE / "service.sh"), "start", service])

        self.lab.on_all(start)

    def kill_agent(self, name: str) -> None:
        self.node(name).kill_service(AGENT)

    def resume_agent(self, name: str) -> None:
        self.node(name).resume_service(AGENT)

    def store_keys(self, name: str, prefix: str = "/plexvol/") -> list[str]:
        """The keys that etcd holds, as the member on this node says."""
        return etcd.list_keys(self.node(name), prefix, self.node(name).etcd_url)

    def tools_run(self, name: str, volume: str) -> list[str]:
        """The external processes for a volume on this node so far: each has a line in the agent's log."""
        node = self.node(name)
        log = node.read_file(node.service_log_path(AGENT)).decode(errors="replace")
        start = f'msg="{volume}: '
        lines = (line.split(start)[1] for line in log.splitlines() if start in line and ": exit code " in line)
        return [line.split()[0].rstrip(":") for line in lines]

    def left_in_store(self, name: str) -> list[str]:
        """The keys of any volume; what is known of nodes stays."""
        of_nodes = ("nodes/", "machines/", "alive/", "placements/", "taken/")
        kept = (*(f"/plexvol/{prefix}" for prefix in of_nodes), "/plexvol/slots-next")
        return [key for key in self.store_keys(name) if not key.startswith(kept)]

    def left_over(self, name: str) -> list[str]:
        """What a node still has of any volume: logical volumes, resources, images, loop devices, links, mounts."""
        node = self.node(name)
        script = (
            "lvs --noheadings -o lv_name,lv_tags vg0 | grep plexvol || true;"
            " drbdsetup events2 --now | grep 'exists resource' || true;"
            " ls /var/lib/plexvol/images /var/lib/plexvol/drbd.d /var/lib/plexvol/acted 2>/dev/null | grep -v : | grep . || true;"
            " losetup --list --noheadings --output BACK-FILE | grep /var/lib/plexvol || true;"
            " ls /dev/plexvol 2>/dev/null || true;"
            " grep -E '/dev/(plexvol|drbd)' /proc/self/mountinfo || true"
        )
        return [line for line in node.sh(script).stdout.decode().splitlines() if line.strip()]
