"""How many resyncs run on a node at a time: each reads or writes a whole copy, and the pods want the same disks."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import MOUNT_DRIVER, Cluster, options, pod_dir
from lab import wait_until
from pods import write_random

PAIR = ("n1", "n2")
MIB = 100


@pytest.fixture
def one_at_a_time(cluster: Cluster) -> Iterator[Cluster]:
    """Each resync counts, however short, and only one runs."""
    cluster.reconfigure(drbd={"helper": MOUNT_DRIVER, "max_resyncs": 1, "short_resync_mib": 0})
    yield cluster
    cluster.restore()
    cluster.reconfigure()
    cluster.plexvol("n3", "node", "uncordon", "n2")


def set_resync_rate(cluster: Cluster, names: list[str], mib: int) -> None:
    """By hand, on both nodes: as slow as that even where nobody else wants the disk."""
    for node in PAIR:
        for name in names:
            minor = minor_of(cluster, node, name)
            cluster.node(node).check(["drbdsetup", "disk-options", minor, "--c-plan-ahead=0", f"--resync-rate={mib}M"])


def minor_of(cluster: Cluster, node: str, name: str) -> str:
    shown = cluster.node(node).check(["drbdsetup", "events2", "--now", name]).stdout.decode()
    found = re.search(r"exists device .*?minor:(\d+)", shown)
    assert found, shown
    return found[1]


@pytest.fixture
def other_rate(cluster: Cluster, mounted: tuple[str, str, str]) -> Iterator[str]:
    """A mounted volume, whose agents a test restarts with another rate."""
    yield mounted[0]
    cluster.restore()
    cluster.reconfigure()


def max_rate(cluster: Cluster, node: str, name: str) -> str:
    """As the kernel has it."""
    shown = cluster.node(node).check(["drbdsetup", "show", "--show-defaults", name]).stdout.decode()
    found = re.search(r"c-max-rate\s+(\w+);", shown)
    assert found, re.sub("shared-secret.*", "", shown)
    return found[1]


def list_resyncs(cluster: Cluster, node: str) -> tuple[list[str], list[str]]:
    """Which run, and which are held back, by this node or its peer."""
    shown = cluster.node(node).check(["drbdsetup", "events2", "--now"]).stdout.decode()
    running, held = [], []
    for line in shown.splitlines():
        fields = dict(word.split(":", 1) for word in line.split() if ":" in word)
        if fields.get("replication") in ("SyncSource", "SyncTarget"):
            running.append(fields["name"])
        elif fields.get("replication", "").startswith("PausedSync"):
            held.append(fields["name"])
    return sorted(running), sorted(held)


@pytest.mark.finding("O19")
@pytest.mark.long
def test_another_resync_rate_parts_no_copies(cluster: Cluster, other_rate: str) -> None:
    """As an upgrade whose default is another one: on a primary and its peer, connected all the time."""
    name = other_rate

    def current() -> tuple[int, bool]:
        shown = cluster.volume("n3", name)
        assert shown is not None
        return shown["epoch"], all(replica["current"] for replica in shown["replicas"])

    cluster.wait_state("n3", name, "Ready")
    before = current()
    watches = [cluster.node(node).popen(["drbdsetup", "events2", name]) for node in PAIR]
    for watch in watches:
        assert any(line == "exists -" for line in watch.lines())
    cluster.reconfigure(drbd={"helper": MOUNT_DRIVER, "resync_rate_mib": 7})
    for node in PAIR:
        wait_until(lambda node=node: max_rate(cluster, node, name) == "7168k", 120, f"{node} has the new rate")
    cluster.wait_state("n3", name, "Ready")
    assert current() == before and before[1]
    write_random(cluster, "n1", f"{pod_dir(name)}/new", 1)
    for watch in watches:
        watch.kill()
        words = [word for line in watch.lines() for word in line.split()]
        for word in words:
            key, _, value = word.partition(":")
            allowed = {"connection": "Connected", "disk": "UpToDate", "peer-disk": "UpToDate", "replication": "Established"}
            assert value == allowed.get(key, value), words


@pytest.mark.long
def test_resyncs_wait_for_their_turn(one_at_a_time: Cluster, new_name: Callable[[], str]) -> None:
    cluster = one_at_a_time
    names = [new_name() for _ in range(3)]
    for name in names:
        cluster.create_volume("n3", name, "192Mi", *PAIR)
        cluster.driver("n1").must("mount", pod_dir(name), options(name))
    set_resync_rate(cluster, names, 2)
    cluster.lab.cut("n1", "n2")
    for name in names:
        write_random(cluster, "n1", f"{pod_dir(name)}/new", MIB)
    cluster.lab.restore()

    def look() -> bool:
        return list_resyncs(cluster, "n1") == (names[:1], names[1:])

    wait_until(look, 120, "the first is resynchronised, and the others wait")
    set_resync_rate(cluster, names, 100)
    for name in names:
        cluster.wait_state("n1", name, "Ready", 240)
    # Moving its copies elsewhere is one resync each: the second begins when the first is done.
    seen: list[list[str]] = []
    with ThreadPoolExecutor(1) as thread:
        drain = thread.submit(cluster.plexvol, "n3", "node", "drain", "n2", timeout=600)
        while not drain.done():
            seen.append(list_resyncs(cluster, "n1")[0])
    assert drain.result().code == 0, drain.result().text
    assert max(map(len, seen)) == 1, seen
    assert {name for running in seen for name in running} == set(names)
    for name in names:
        assert cluster.other_copy("n1", name, "n1") == "n3"
    for name in names:
        cluster.driver("n1").must("unmount", pod_dir(name))
        cluster.wait_detached("n1", name)
        cluster.delete_volume("n1", name)
