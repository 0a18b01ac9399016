"""A cluster of three nodes for all the tests of this folder, and what each test must leave behind: nothing."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cluster import BUILD, Cluster, options, pod_dir
from lab import Lab, Node, etcd, wait_until

_numbers = itertools.count(1)
# Of slot 0.
FIRST_MINOR = 1000


@pytest.fixture(scope="session")
def running_cluster(lab3: Lab) -> Cluster:
    if not (BUILD / "plexvold").exists():
        pytest.skip("build/plexvold is not built")
    lab3.restore()
    return Cluster(lab3).start()


# Whether the last test left the nodes as it found them. If so, they are not checked again.
_clean = pytest.StashKey[bool]()


@dataclass
class Kept:
    """The volume that tests mount one after another, while nothing but a mount is wanted of it: it is made once for them."""

    name: str = ""
    id: str = ""
    slot: str = ""  # its key in the store
    next_mounts: bool = False  # the next test wants a mounted volume, too

    def names(self, line: str) -> bool:
        words = [self.name, self.id, self.slot] if self.name else []
        return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", line) for word in words)


@pytest.fixture(scope="session")
def kept() -> Kept:
    return Kept()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if "mounted" not in getattr(item, "funcargs", ()):
        return
    later = item.session.items[item.session.items.index(item) + 1 :]
    following = next((other for other in later if not other.get_closest_marker("skip")), None)
    item.funcargs["kept"].next_mounts = "mounted" in getattr(following, "fixturenames", ())


@pytest.fixture
def cluster(request: pytest.FixtureRequest, running_cluster: Cluster, kept: Kept) -> Iterator[Cluster]:
    """All nodes on, all agents alive. At the end: no volume, and nothing of one on any node or in the store, but for the one
    that is kept for the next test."""
    nodes = running_cluster.lab.nodes
    names = [node.name for node in nodes]
    stash = request.session.stash
    if not stash.get(_clean, True):
        # What the test before has left must not fail this one.
        running_cluster.restore()
        running_cluster.wait_alive(names)
        running_cluster.delete_all_volumes("n3")
        kept.name = ""
    if kept.name and "mounted" not in request.fixturenames:  # the one that was to mount it was skipped
        running_cluster.delete_volume("n3", kept.name)
        kept.name = ""
    stash[_clean] = False
    yield running_cluster
    running_cluster.restore()
    running_cluster.wait_alive(names)

    def without_kept(lines: list[str]) -> list[str]:
        return [line for line in lines if not kept.names(line)]

    def wait_clean(node: Node) -> None:
        wait_until(lambda: without_kept(running_cluster.left_over(node.name)) == [], 120, f"{node.name} is clean")

    running_cluster.lab.on_all(wait_clean)
    assert without_kept(running_cluster.left_in_store("n1")) == []
    stash[_clean] = True


@pytest.fixture
def impatient(cluster: Cluster) -> Iterator[Cluster]:
    """A node counts as gone for good at once, and so the agents look at everything each second."""
    cluster.reconfigure(rebuild_seconds=4)
    yield cluster
    cluster.restore()
    cluster.reconfigure()


@pytest.fixture
def new_name() -> Callable[[], str]:
    """A volume name that no other test has had."""
    return lambda: f"pv-{next(_numbers)}"


@pytest.fixture
def mounted(
    request: pytest.FixtureRequest, cluster: Cluster, kept: Kept, new_name: Callable[[], str]
) -> Iterator[tuple[str, str, str]]:
    """A mirrored volume of n1 and n2, empty and mounted on n1: its name, mount point and options. Gone at the end, unless the
    next test wants one."""
    name, kept.name = kept.name or new_name(), ""
    if cluster.volume("n3", name) is None:
        cluster.create_volume("n3", name, "128Mi", "n1", "n2")
    pod, asked = pod_dir(name), options(name)
    cluster.driver("n1").must("mount", pod, asked)
    cluster.node("n1").sh(f"find {pod} -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {{}} +")
    yield name, pod, asked
    cluster.restore()
    cluster.wait_alive(["n1", "n2", "n3"])
    cluster.lab.on_all(lambda node: cluster.driver(node.name).must("unmount", pod), cluster.lab.nodes[:2])
    cluster.wait_detached("n3", name)
    report = getattr(request.node, "call_report", None)
    if kept.next_mounts and report is not None and report.passed and is_as_made(cluster.volume("n3", name)):
        n3 = cluster.node("n3")
        record = json.loads(etcd.find_value(n3, f"/plexvol/volumes/{name}", n3.etcd_url) or b"{}")
        kept.name, kept.id, kept.slot = name, record["id"], f"/plexvol/slots/{record['minor'] - FIRST_MINOR}"
    else:
        cluster.delete_volume("n3", name)


def is_as_made(shown: dict[str, Any] | None) -> bool:
    """In step, on the nodes that it was made on."""
    if shown is None or shown["state"] != "Ready" or shown["former"]:
        return False
    return [replica["node"] for replica in shown["replicas"] if replica["current"]] == ["n1", "n2"]


@pytest.fixture(autouse=True)
def _agent_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    report = getattr(request.node, "call_report", None)
    if report is None or not report.failed or "cluster" not in request.fixturenames:
        return
    cluster = request.getfixturevalue("running_cluster")
    for node in cluster.lab.nodes:
        if node.state == "ready":
            print(f"--- the agent of {node.name}")
            print(node.run(["tail", "-n", "60", node.service_log_path("plexvold")]).text)
