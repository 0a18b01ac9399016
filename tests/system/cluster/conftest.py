"""A cluster of three nodes for all the tests of this folder, and what each test must leave behind: nothing."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from cluster import BUILD, Cluster, options, pod_dir
from lab import Lab, Node, wait_until

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def running_cluster(lab3: Lab) -> Cluster:
    if not (BUILD / "plexvold").exists():
        pytest.skip("build/plexvold is not built")
    lab3.restore()
    return Cluster(lab3).start()


# Whether the last test left the nodes as it found them. If so, they are not checked again.
_clean = pytest.StashKey[bool]()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, running_cluster: Cluster) -> Iterator[Cluster]:
    """All nodes on, all agents alive. At the end: no volume, and nothing of one on any node or in the store."""
    nodes = running_cluster.lab.nodes
    names = [node.name for node in nodes]
    stash = request.session.stash
    if not stash.get(_clean, True):
        running_cluster.restore()
        running_cluster.wait_alive(names)
    stash[_clean] = False
    yield running_cluster
    running_cluster.restore()
    running_cluster.wait_alive(names)

    def wait_clean(node: Node) -> None:
        wait_until(lambda: running_cluster.left_over(node.name) == [], 120, f"{node.name} is clean")

    running_cluster.lab.on_all(wait_clean)
    assert running_cluster.left_in_store("n1") == []
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
def mounted(cluster: Cluster, new_name: Callable[[], str]) -> Iterator[tuple[str, str, str]]:
    """A mirrored volume of n1 and n2, mounted on n1: its name, mount point and options. Gone at the end."""
    name = new_name()
    cluster.create_volume("n3", name, "128Mi", "n1", "n2")
    pod, asked = pod_dir(name), options(name)
    cluster.driver("n1").must("mount", pod, asked)
    yield name, pod, asked
    cluster.restore()
    cluster.wait_alive(["n1", "n2", "n3"])
    cluster.lab.on_all(lambda node: cluster.driver(node.name).must("unmount", pod), cluster.lab.nodes[:2])
    cluster.wait_detached("n3", name)
    cluster.delete_volume("n3", name)


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
