"""The other flavour of the manifests, applied to a living cluster: a 1.12 controller-manager attaches and detaches.

The cluster of test_installed.py, later in its life. The controller-manager runs on n1.
"""

from collections.abc import Iterator

import pytest
from cluster import PLUGINS, Driver, device_mount_dir, options, pod_dir
from installed import InstalledCluster
from lab import wait_until
from pods import checksum, write_random

pytestmark = pytest.mark.long

NODES = ("n1", "n2", "n3")
OLD = "pv-from-before"
OLD_POD = pod_dir(OLD)
OLD_ASKED = options(OLD, size="64Mi", replicas="2", pool="thick")


@pytest.fixture(scope="module")
def attaching(installed: InstalledCluster) -> Iterator[InstalledCluster]:
    n1 = installed.driver("n1")
    n1.must("mount", OLD_POD, OLD_ASKED)
    n1.node.sh(f"echo kept >{OLD_POD}/file; sync {OLD_POD}/file")
    installed.apply("--attach", "--plugin-dir", PLUGINS)
    yield installed


@pytest.fixture
def manager(attaching: InstalledCluster) -> Driver:
    return attaching.controller_manager("n1")


class Pod:
    """One with a volume, as the controller-manager and its node's kubelet start and end it."""

    def __init__(self, cluster: InstalledCluster, name: str, asked: str) -> None:
        self._manager = cluster.controller_manager("n1")
        self._cluster = cluster
        self._name = name
        self._asked = asked
        self._device_dir = device_mount_dir(name, "plexvol")
        self.folder = pod_dir(name)

    def start(self, node: str) -> None:
        """Each call again and again until it succeeds, as its caller does."""
        kubelet = self._cluster.driver(node)
        device = retry(self._manager, "attach", self._asked, node)["device"]
        assert retry(kubelet, "waitforattach", device, self._asked)["device"] == device
        kubelet.node.sh(f"mkdir -p -m 750 {self._device_dir} {self.folder}")
        retry(kubelet, "mountdevice", self._device_dir, device, self._asked)
        retry(kubelet, "mount", self.folder, self._asked)

    def end(self, node: str) -> None:
        kubelet = self._cluster.driver(node)
        kubelet.must("unmount", self.folder)
        kubelet.must("unmountdevice", self._device_dir)
        self._manager.must("detach", self._name, node)

    def is_attached(self, node: str) -> bool:
        return self._manager.must("isattached", self._asked, node).json["attached"] is True


def retry(driver: Driver, *arguments: str) -> dict[str, object]:
    def attempt() -> dict[str, object] | None:
        reply = driver.call(*arguments)
        return reply.json if reply.succeeded else None

    answer = wait_until(attempt, 180, f"{driver.node.name}: {arguments}")
    assert answer is not None
    return answer


def delete(cluster: InstalledCluster, name: str) -> None:
    """Nothing is left of it anywhere."""
    cluster.delete_volume("n1", name)
    for node in NODES:
        wait_until(lambda node=node: name not in " ".join(cluster.left_over(node)), 120, f"{name} is gone from {node}")


def test_both_callers_find_the_driver_and_learn_that_it_attaches(
    attaching: InstalledCluster, manager: Driver
) -> None:
    for driver in (manager, *(attaching.driver(name) for name in NODES)):
        assert driver.must("init").json["capabilities"]["attach"] is True
    assert manager.call("getvolumename", OLD_ASKED).json["status"] == "Not supported"
    found = attaching.plexvol("n1", "doctor")
    assert found.code == 0, found.text


def test_a_pod_from_before_goes_on_and_ends(attaching: InstalledCluster, manager: Driver) -> None:
    n1 = attaching.driver("n1")
    assert n1.node.sh(f"cat {OLD_POD}/file").stdout == b"kept\n"
    manager.must("attach", OLD_ASKED, "n1")
    n1.must("unmount", OLD_POD)
    manager.must("detach", OLD, "n1")
    attaching.wait_detached("n1", OLD)
    delete(attaching, OLD)


def test_a_volumes_life(attaching: InstalledCluster) -> None:
    name = "pv-attached"
    pod = Pod(attaching, name, options(name, size="64Mi", replicas="2", pool="thin"))
    pod.start("n2")
    assert pod.is_attached("n2") and not pod.is_attached("n1")
    attaching.node("n2").sh(f"echo kept >{pod.folder}/file; sync {pod.folder}/file")
    pod.end("n2")
    assert not pod.is_attached("n2")

    other = attaching.other_copy("n1", name, "n2")
    pod.start(other)
    assert attaching.node(other).sh(f"cat {pod.folder}/file").stdout == b"kept\n"
    pod.end(other)
    delete(attaching, name)


def read_copies(cluster: InstalledCluster, name: str, nodes: tuple[str, str]) -> list[str]:
    """The checksum of each, past the page cache: DRBD writes beneath it."""
    script = f"dd if=/dev/vg0/{name} iflag=direct bs=1M 2>/dev/null | sha256sum"
    return [cluster.node(node).sh(script).stdout.decode() for node in nodes]


def test_the_pods_node_loses_its_power_and_returns(attaching: InstalledCluster, manager: Driver) -> None:
    name = "pv-power"
    # Of a thick volume the two may differ in blocks that nobody ever wrote, as earlier volumes have left them.
    pod = Pod(attaching, name, options(name, size="128Mi", replicas="2", pool="thin"))
    pod.start("n2")
    before = write_random(attaching, "n2", f"{pod.folder}/before", 20)
    other = attaching.other_copy("n1", name, "n2")

    attaching.node("n2").power_off()
    # The pod's object was removed by force; then the controller-manager detaches, too.
    retry(manager, "detach", name, "n2")
    pod.start(other)
    assert checksum(attaching, other, f"{pod.folder}/before") == before
    after = write_random(attaching, other, f"{pod.folder}/after", 20)
    shown = attaching.volume("n1", name)
    assert shown is not None and shown["attached_to"] == other and shown["state"] == "Degraded"
    assert [replica["node"] for replica in shown["replicas"] if replica["current"]] == [other]

    # Its kubelet starts the DaemonSets' pods, and nobody tells Plexvol anything.
    attaching.node("n2").power_on()
    attaching.wait_alive(list(NODES))
    attaching.wait_state("n1", name, "Ready")
    shown = attaching.volume("n1", name)
    assert shown is not None and all(replica["current"] for replica in shown["replicas"])
    assert attaching.driver("n2").must("init").json["capabilities"]["attach"] is True

    pod.end(other)
    attaching.wait_detached("n1", name)
    copies = read_copies(attaching, name, ("n2", other))
    assert copies[0] == copies[1]
    pod.start("n2")
    assert checksum(attaching, "n2", f"{pod.folder}/before") == before
    assert checksum(attaching, "n2", f"{pod.folder}/after") == after
    pod.end("n2")
    delete(attaching, name)
