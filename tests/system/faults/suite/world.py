"""The cluster as the faults have left it: what is cut, off, paused or killed, and how all of it is healed."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import AGENT, BUILD, MOUNT_DRIVER, Cluster, start_agent
from containerd import import_pause_image
from lab import CommandFailed, Lab, LabError, Node, etcd, wait_until

ETCD = etcd.SERVICE
# As long as the fence callback of the product waits at most, and shorter than a person's patience with a mount.
CALL_SECONDS = 60
# Each part of settling after everything is healed: many times what it takes, so that only what is stuck exceeds it.
SETTLE_SECONDS = 180

# What the first sends to the second; of it only what belongs to this TCP port, when that is not 0.
Link = tuple[str, str, int]


class Network:
    """Cuts that may overlap: a link is whole again when the last fault that cut it is healed."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._names = [node.name for node in lab.nodes]
        self._faults: list[frozenset[Link]] = []

    def cut(self, links: frozenset[Link]) -> None:
        self._faults.append(links)
        self._apply(links)

    def heal(self, links: frozenset[Link]) -> None:
        self._faults.remove(links)
        self._apply(links)

    def heal_all(self) -> None:
        self._faults.clear()
        self._lab.heal()

    def between(self, a: str, b: str, port: int = 0) -> frozenset[Link]:
        return frozenset({(a, b, port), (b, a, port)})

    def all_of(self, name: str, port: int = 0) -> frozenset[Link]:
        return frozenset().union(*(self.between(name, other, port) for other in self._names if other != name))

    def all(self) -> frozenset[Link]:
        return frozenset((a, b, 0) for a, b in itertools.permutations(self._names, 2))

    def in_majority(self, name: str) -> bool:
        """Whether this node's etcd reaches one more of the three: so the part of a cluster where decisions are made."""
        cut = {link[:2] for link in frozenset().union(*self._faults)}
        return any(not cut & {(name, other), (other, name)} for other in self._names if other != name)

    def _apply(self, changed: frozenset[Link]) -> None:
        cut = frozenset().union(*self._faults)
        for a, b in sorted({(min(link[:2]), max(link[:2])) for link in changed}):
            self._lab.heal(a, b)
            for source, target, port in sorted(cut):
                if {source, target} == {a, b}:
                    self._lab.cut(source, target, one_way=True, port=port)


class World:
    """Three nodes with Plexvol on them; the volumes of this suite have their copies on the first two."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lab = cluster.lab
        self.network = Network(self.lab)
        self.names = [node.name for node in self.lab.nodes]
        self.replicas = self.names[:2]
        self.without_kubelet: set[str] = set()
        self.with_former_agent: set[str] = set()
        self.lab.on_all(_set_call_time)
        self.lab.on_all(import_pause_image)

    def node(self, name: str) -> Node:
        return self.lab.node(name)

    def other_replica(self, name: str) -> str:
        return next(other for other in self.replicas if other != name)

    def takes_commands(self, name: str) -> bool:
        return self.node(name).state == "ready"

    def has_kubelet(self, name: str) -> bool:
        return self.takes_commands(name) and name not in self.without_kubelet

    def kubelet_reachable(self, name: str) -> bool:
        """Whether the control plane, which is where the majority is, can tell the node's kubelet anything."""
        return self.has_kubelet(name) and self.network.in_majority(name)

    def change_agent(self, name: str, build: Path = BUILD) -> None:
        """To that of another build, or back to today's. The driver stays."""
        node = self.node(name)
        node.stop_service(AGENT)
        start_agent(node, build)
        if build == BUILD:
            self.with_former_agent.discard(name)
        else:
            self.with_former_agent.add(name)

    def resume_service(self, name: str, service: str) -> None:
        """Does nothing when it runs: a boot in the meantime has started it."""
        try:
            self.node(name).resume_service(service)
        except CommandFailed as error:
            if b"runs already" not in error.result.stderr:
                raise

    def heal_all(self) -> None:
        """The network whole, all machines on, etcd and the agents running and seeing each other."""
        self.network.heal_all()
        self.without_kubelet.clear()
        self.lab.restore()
        for name in list(self.with_former_agent):
            self.change_agent(name)
        for node in self.lab.nodes:
            for service in (ETCD, AGENT):
                self.resume_service(node.name, service)
            # Whoever keeps the machine busy, or still stops tools midway, then the tools that were stopped.
            node.run(["pkill", "-KILL", "-f", "stop_tools.py|vm/drop_caches"])
            node.run(["pkill", "-CONT", "-f", "drbd|lv|mkfs|fsck|e2fs"])
        self.set_no_space("DEACTIVATE")
        for node in self.lab.nodes:
            etcd.wait_healthy(node)
        self.cluster.wait_alive(self.names)

    def read_current(self, volume: str) -> dict[str, Any]:
        """current/VOLUME in etcd, whatever the product says about it."""
        asking = next(node for node in self.lab.nodes if node.state == "ready")
        for node in self.lab.nodes:
            with contextlib.suppress(CommandFailed):
                return dict(json.loads(etcd.find_value(asking, f"/plexvol/current/{volume}", node.etcd_url) or "{}"))
        raise LabError("no etcd answers")

    def set_no_space(self, action: str, timeout: float = SETTLE_SECONDS) -> None:
        """By a machine that runs; see lab.etcd."""

        def is_taken() -> bool:
            return etcd.set_no_space([node for node in self.lab.nodes if node.state == "ready"], action)

        wait_until(is_taken, timeout, f"etcd takes the alarm: {action}")

    def create_volume(self, volume: str) -> None:
        """Asked for again where its time was over, as whoever needs it would: etcd may still be busy with what it was."""
        replicas = ["--replicas", "2", "--nodes", ",".join(self.replicas)]
        said = ""

        def created() -> bool:
            nonlocal said
            result = self.cluster.plexvol("n3", "volume", "create", volume, "--size", "32Mi", *replicas, "--pool", "thick")
            said = f"{result.stdout.decode()}{result.stderr.decode()}"
            return result.code == 0

        wait_or_tell(created, SETTLE_SECONDS, lambda: f"{volume} is created: {said}")
        # Where nothing is ever written, a thick volume has what was there before, on each node another thing.
        self.cluster.wait_state("n3", volume, "Ready", SETTLE_SECONDS)
        for name in self.replicas:
            self.node(name).sh(f"dd if=/dev/zero of=/dev/vg0/{volume} bs=1M count=32 oflag=direct 2>/dev/null")

    def delete_volume(self, volume: str) -> None:
        def deleted() -> bool:
            result = self.cluster.plexvol("n3", "volume", "delete", volume)
            return result.code == 0 or self.cluster.volume("n3", volume) is None

        wait_until(deleted, SETTLE_SECONDS, f"{volume} is deleted")
        for name in self.replicas:
            left = f"{volume} has left {name}"
            wait_until(lambda name=name: self.cluster.left_over(name) == [], SETTLE_SECONDS, left)


def _set_call_time(node: Node) -> None:
    folder = MOUNT_DRIVER.rsplit("/", 1)[0]
    node.write_file(f"{folder}/.plexvol.json", json.dumps({"attach": False, "timeout_seconds": CALL_SECONDS}))


def wait_or_tell(condition: Callable[[], bool], timeout: float, describe: Callable[[], str]) -> None:
    """wait_until, with a message that is made when the time is over."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"not within {timeout} s: {describe()}")
        time.sleep(0.2)
