"""What happens when a node, a link or an agent dies: the cases of the design that this stage covers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cluster import CallFailed, Cluster, options, pod_dir
from lab import wait_until


def mount_as_kubelets_do(cluster: Cluster, node: str, pod: str, asked: str) -> None:
    """Again and again, until it succeeds."""

    def attempt() -> bool:
        return cluster.driver(node).call("mount", pod, asked).succeeded

    wait_until(attempt, 180, f"{node} mounts {pod}")


@pytest.fixture
def mounted(cluster: Cluster, new_name: Callable[[], str]) -> Iterator[tuple[str, str, str]]:
    """A mirrored volume of n1 and n2, mounted on n1: its name, mount point and options. Gone at the end."""
    name = new_name()
    created = cluster.plexvol(
        "n3", "volume", "create", name, "--size", "128Mi", "--replicas", "2", "--nodes", "n1,n2", "--pool", "thick"
    )
    assert created.code == 0, created.text
    pod, asked = pod_dir(name), options(name)
    cluster.driver("n1").must("mount", pod, asked)
    yield name, pod, asked
    cluster.lab.restore()
    cluster.wait_alive(["n1", "n2", "n3"])
    for node in ("n1", "n2"):
        cluster.driver(node).must("unmount", pod)
    cluster.wait_detached("n3", name)
    deleted = cluster.plexvol("n3", "volume", "delete", name)
    assert deleted.code == 0, deleted.text


def write_random(cluster: Cluster, node: str, path: str, mib: int) -> str:
    """Writes a file, synced, and returns its checksum."""
    script = f"dd if=/dev/urandom of={path} bs=1M count={mib} conv=fsync 2>/dev/null; sha256sum <{path}"
    return cluster.node(node).sh(script).stdout.decode()


@contextmanager
def holding_open(cluster: Cluster, node: str, path: str) -> Iterator[None]:
    """A pod's process: without one, mounts count as left over, and are let go of when another node asks."""
    with cluster.node(node).popen(["sh", "-c", f"exec 3>{path}; echo holds; exec sleep 1000"]) as holder:
        assert holder.line() == "holds"
        yield
        holder.kill()
        holder.wait()


def checksum(cluster: Cluster, node: str, path: str) -> str:
    return cluster.node(node).sh(f"sha256sum <{path}").stdout.decode()


def test_the_primarys_node_loses_its_power(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    before = write_random(cluster, "n1", f"{pod}/before", 20)
    cluster.node("n1").power_off()
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/before") == before
    after = write_random(cluster, "n2", f"{pod}/after", 20)
    shown = cluster.volume("n2", name)
    assert shown["attached_to"] == "n2" and shown["state"] == "Degraded"
    assert [replica["node"] for replica in shown["replicas"] if replica["current"]] == ["n2"]

    cluster.node("n1").power_on()
    cluster.wait_state("n2", name, "Ready")
    assert cluster.replica("n2", name, "n1")["role"] == "Secondary"
    cluster.driver("n2").must("unmount", pod)
    cluster.wait_detached("n2", name)
    cluster.driver("n1").must("mount", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/before") == before
    assert checksum(cluster, "n1", f"{pod}/after") == after


def test_the_secondarys_node_loses_its_power(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, _ = mounted
    cluster.node("n2").power_off()
    # The write hangs until the arbiter has taken n2 out, then it goes on.
    alone = write_random(cluster, "n1", f"{pod}/alone", 10)
    shown = cluster.volume("n1", name)
    assert [replica["node"] for replica in shown["replicas"] if replica["current"]] == ["n1"]
    cluster.node("n2").power_on()
    cluster.wait_state("n1", name, "Ready")
    assert checksum(cluster, "n1", f"{pod}/alone") == alone


def test_the_stale_copy_is_refused_when_it_comes_back_first(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    cluster.node("n2").power_off()
    alone = write_random(cluster, "n1", f"{pod}/alone", 5)
    cluster.node("n1").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n1").get("alive") is False, 60, "n1 counts as gone")
    reply = cluster.driver("n2").call("mount", pod, asked)
    assert not reply.succeeded
    assert "may lack the newest writes" in reply.message and "n1" in reply.message
    cluster.node("n1").power_on()
    cluster.wait_state("n3", name, "Ready")
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/alone") == alone


def test_the_link_breaks_and_the_primary_goes_on(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    with holding_open(cluster, "n1", f"{pod}/open"):
        cluster.lab.cut("n1", "n2")
        alone = write_random(cluster, "n1", f"{pod}/alone", 5)
        refused = cluster.driver("n2").call("mount", pod, asked)
        assert not refused.succeeded and f"{name} is in use on n1" in refused.message
        cluster.lab.heal()
        cluster.wait_state("n1", name, "Ready")
        assert checksum(cluster, "n1", f"{pod}/alone") == alone


def test_a_mounted_volume_is_not_taken_from_a_living_node_that_uses_it(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    with holding_open(cluster, "n1", f"{pod}/open"):
        with pytest.raises(CallFailed, match=rf"{name} is in use on n1: process \d+ \(sleep\)"):
            cluster.driver("n2").must("mount", pod, asked)
    # Nobody uses it any more: a left-over mount, which the node gives up by itself.
    mount_as_kubelets_do(cluster, "n2", pod, asked)


def test_deleting_waits_for_a_node_that_is_away(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    created = cluster.plexvol(
        "n1", "volume", "create", name, "--size", "64Mi", "--replicas", "2", "--nodes", "n1,n2", "--pool", "thin"
    )
    assert created.code == 0, created.text
    cluster.node("n2").power_off()
    wait_until(lambda: cluster.replica("n1", name, "n2").get("alive") is False, 60, "n2 counts as gone")
    deleted = cluster.plexvol("n1", "volume", "delete", name)
    assert deleted.code == 0 and "n2" in deleted.text
    assert cluster.volume("n1", name)["state"] == "Deleting"
    cluster.node("n2").power_on()
    wait_until(lambda: cluster.volume("n1", name) is None, 120, f"{name} is gone")
