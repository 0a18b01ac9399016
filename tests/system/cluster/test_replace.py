"""Copies that are made anew on another node: after a loss, to empty a node, for one that never comes back."""

from collections.abc import Callable, Iterator

import pytest
from cluster import Cluster, options, pod_dir
from lab import Result, wait_until
from pods import checksum, holding_open, mount_as_kubelets_do, write_random


@pytest.fixture
def cordoning(cluster: Cluster) -> Iterator[Cluster]:
    """Whatever is cordoned in the test is not so after it."""
    yield cluster
    cluster.restore()
    cluster.wait_alive(["n1", "n2", "n3"])
    for node in ("n1", "n2", "n3"):
        assert cluster.plexvol(node, "node", "uncordon", node).code == 0


def said(result: Result) -> str:
    return (result.stdout + result.stderr).decode()


def copies(cluster: Cluster, asked: str, name: str) -> list[str]:
    shown = cluster.volume(asked, name)
    return [] if shown is None else [replica["node"] for replica in shown["replicas"]]


def wait_copies(cluster: Cluster, name: str, nodes: list[str], timeout: float) -> None:
    wait_until(lambda: copies(cluster, "n1", name) == nodes, timeout, f"the copies of {name} are to be on {nodes}")


def is_whole(cluster: Cluster, asked: str, name: str, nodes: list[str]) -> bool:
    shown = cluster.volume(asked, name)
    return (
        shown is not None
        and shown["state"] == "Ready"
        and shown["former"] == []
        and copies(cluster, asked, name) == nodes
    )


def wait_whole(cluster: Cluster, asked: str, name: str, nodes: list[str]) -> None:
    """Both copies current, connected and UpToDate, and nothing left of a former one."""
    wait_until(lambda: is_whole(cluster, asked, name, nodes), 240, f"{name} is whole on {nodes}")


def has_data(cluster: Cluster, node: str, name: str) -> bool:
    return name in cluster.node(node).sh("lvs --noheadings -o lv_name vg0").stdout.decode().split()


@pytest.mark.long
def test_a_lost_copy_is_made_anew_and_dropped_when_its_node_returns(
    impatient: Cluster, mounted: tuple[str, str, str]
) -> None:
    cluster = impatient
    name, pod, asked = mounted
    before = write_random(cluster, "n1", f"{pod}/before", 20)
    cluster.node("n2").power_off()
    after = write_random(cluster, "n1", f"{pod}/after", 5)
    wait_copies(cluster, name, ["n1", "n3"], 120)
    wait_until(lambda: cluster.replica("n1", name, "n3").get("current"), 240, "the copy on n3 is current")
    cluster.node("n2").power_on()
    wait_whole(cluster, "n1", name, ["n1", "n3"])
    assert not has_data(cluster, "n2", name)
    # The new one is as good as the first one was.
    cluster.node("n1").power_off()
    mount_as_kubelets_do(cluster, "n3", pod, asked)
    assert checksum(cluster, "n3", f"{pod}/before") == before
    assert checksum(cluster, "n3", f"{pod}/after") == after
    cluster.driver("n3").must("unmount", pod)


@pytest.mark.long
def test_when_the_new_copys_node_dies_too_the_former_one_takes_its_place(
    impatient: Cluster, mounted: tuple[str, str, str]
) -> None:
    """Without a person: the former copy would wait for the new one, and the new one for its node."""
    cluster = impatient
    name, pod, _asked = mounted
    kept = write_random(cluster, "n1", f"{pod}/kept", 5)
    cluster.node("n2").power_off()
    wait_copies(cluster, name, ["n1", "n3"], 120)
    cluster.node("n3").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n1", "n2"])
    wait_copies(cluster, name, ["n1", "n2"], 240)
    cluster.node("n3").power_on()
    wait_whole(cluster, "n1", name, ["n1", "n2"])
    assert not has_data(cluster, "n3", name)
    assert checksum(cluster, "n1", f"{pod}/kept") == kept


@pytest.mark.long
def test_a_node_is_drained_while_its_volume_is_written_to_elsewhere(
    cordoning: Cluster, mounted: tuple[str, str, str]
) -> None:
    cluster = cordoning
    name, pod, asked = mounted
    with holding_open(cluster, "n1", f"{pod}/held"):
        before = write_random(cluster, "n1", f"{pod}/before", 20)
        drained = cluster.plexvol("n3", "node", "drain", "n2", timeout=300)
        assert drained.code == 0, said(drained)
        assert "node n2 is empty" in said(drained)
        assert copies(cluster, "n1", name) == ["n1", "n3"]
        assert not has_data(cluster, "n2", name)
        # No new copy goes there, nor can the one that is in use be moved.
        refused = cluster.plexvol(
            "n3", "volume", "create", f"{name}-x", "--size", "64Mi", "--nodes", "n2", "--pool", "thick"
        )
        assert refused.code != 0 and "being drained" in said(refused)
        stuck = cluster.plexvol("n3", "node", "drain", "n1")
        assert stuck.code != 0 and f"{name}: is in use there" in said(stuck)
        for node in ("n1", "n2"):
            assert cluster.plexvol("n3", "node", "uncordon", node).code == 0
        after = write_random(cluster, "n1", f"{pod}/after", 5)
    cluster.driver("n1").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n3", pod, asked)
    assert checksum(cluster, "n3", f"{pod}/before") == before
    assert checksum(cluster, "n3", f"{pod}/after") == after
    cluster.driver("n3").must("unmount", pod)


@pytest.mark.long
def test_a_person_can_choose_a_copy_that_was_replaced(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    """The new one was not whole yet when the only other one was lost."""
    cluster.reconfigure(rebuild_seconds=90)
    name, pod, asked = mounted
    both = write_random(cluster, "n1", f"{pod}/both", 3)
    cluster.node("n2").power_off()
    write_random(cluster, "n1", f"{pod}/newer", 3)
    wait_copies(cluster, name, ["n1", "n3"], 240)
    cluster.node("n1").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n1").get("alive") is False, 120, "n1 counts as gone")
    chosen = cluster.plexvol("n3", "volume", "force-current", name, "--node", "n2", "--i-accept-data-loss")
    assert chosen.code == 0, said(chosen)
    assert copies(cluster, "n3", name) == ["n1", "n2"]
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/both") == both
    later = write_random(cluster, "n2", f"{pod}/later", 3)
    # What only n1 had is gone, as was accepted: its copy is made anew from the one that was chosen.
    cluster.node("n1").power_on()
    wait_whole(cluster, "n2", name, ["n1", "n2"])
    cluster.driver("n2").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/later") == later
    assert cluster.node("n1").run(["test", "-e", f"{pod}/newer"]).code != 0
    cluster.reconfigure()


@pytest.mark.long
def test_a_node_that_never_comes_back_is_forgotten_and_may_come_back_all_the_same(
    cordoning: Cluster, mounted: tuple[str, str, str]
) -> None:
    cluster = cordoning
    name, pod, _asked = mounted
    alive = cluster.plexvol("n3", "node", "forget", "n2")
    assert alive.code != 0 and "plexvol node drain n2" in said(alive)
    kept = write_random(cluster, "n1", f"{pod}/kept", 5)
    cluster.node("n2").power_off()
    wait_until(lambda: not cluster.replica("n1", name, "n2").get("alive", True), 120, "n2 has lost its lease")
    forgotten = cluster.plexvol("n3", "node", "forget", "n2", timeout=300)
    assert forgotten.code == 0, said(forgotten)
    assert "n2" not in cluster.plexvol("n3", "node", "list").text
    wait_whole(cluster, "n1", name, ["n1", "n3"])
    cluster.node("n2").power_on()
    cluster.wait_alive(["n1", "n2", "n3"])
    wait_until(lambda: not has_data(cluster, "n2", name), 240, "the old copy is dropped")
    assert checksum(cluster, "n1", f"{pod}/kept") == kept


@pytest.mark.long
def test_two_nodes_do_without_the_second_copy_until_a_third_comes(
    cordoning: Cluster, new_name: Callable[[], str]
) -> None:
    """The cluster has no other node to take it, and the volume stays in use."""
    cluster = cordoning
    name = new_name()
    pod, asked = pod_dir(name), options(name, size="64Mi", replicas="2", pool="thick")
    assert cluster.plexvol("n1", "node", "cordon", "n3").code == 0
    cluster.driver("n1").must("mount", pod, asked)
    assert copies(cluster, "n1", name) == ["n1", "n2"]
    kept = write_random(cluster, "n1", f"{pod}/kept", 5)
    cluster.node("n2").power_off()
    wait_until(lambda: not cluster.replica("n1", name, "n2").get("alive", True), 120, "n2 has lost its lease")
    forgotten = cluster.plexvol("n1", "node", "forget", "n2", timeout=300)
    assert forgotten.code == 0, said(forgotten)
    assert copies(cluster, "n1", name) == ["n1"]
    cluster.driver("n1").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/kept") == kept
    assert cluster.plexvol("n1", "node", "uncordon", "n3").code == 0
    wait_whole(cluster, "n1", name, ["n1", "n3"])
    cluster.driver("n1").must("unmount", pod)
    cluster.node("n2").power_on()
    cluster.wait_alive(["n1", "n2", "n3"])
    wait_until(lambda: not has_data(cluster, "n2", name), 240, "the old copy is dropped")
    cluster.wait_detached("n1", name)
    cluster.delete_volume("n1", name)
