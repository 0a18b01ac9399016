"""Volumes get another number of copies, and copies move: the data stays, and each node is left clean."""

import re
from collections.abc import Callable

import pytest
from cluster import Cluster, options, pod_dir
from copies import shown, wait_copies
from lab import wait_until
from pods import checksum, mount_as_kubelets_do, write_random


def must(cluster: Cluster, *command: str) -> str:
    done = cluster.plexvol("n3", *command)
    assert done.code == 0, done.text
    return done.stdout.decode()


def read_elsewhere(cluster: Cluster, name: str, node: str, asked: str) -> str:
    """Mounted there, and let go again."""
    pod = pod_dir(name)
    mount_as_kubelets_do(cluster, node, pod, asked)
    found = checksum(cluster, node, f"{pod}/file")
    cluster.driver(node).must("unmount", pod)
    cluster.wait_detached("n3", name)
    return found


def sum_of_copy(cluster: Cluster, node: str, name: str) -> bytes:
    return cluster.node(node).sh(f"dd if=/dev/vg0/{name} iflag=direct bs=1M 2>/dev/null | sha256sum").stdout


@pytest.mark.parametrize(
    "pool",
    ["thick", pytest.param("thin", marks=pytest.mark.long), pytest.param("file", marks=pytest.mark.long)],
)
def test_a_second_copy_comes_and_the_first_one_goes(cluster: Cluster, new_name: Callable[[], str], pool: str) -> None:
    name = new_name()
    pod, asked = pod_dir(name), options(name, pool=pool, size="64Mi")
    cluster.create_volume("n1", name, "64Mi", "n1", pool=pool)
    cluster.driver("n1").must("mount", pod, asked)
    before = write_random(cluster, "n1", f"{pod}/file", 20)

    # While it is in use it waits, and says so.
    waits = "a second replica is made once the volume is released on n1"
    assert must(cluster, "volume", "set", name, "--copies", "2") == f"volume {name}: {waits}\n"
    assert shown(cluster, name)["pending"] == waits
    assert shown(cluster, name)["drbd_minor"] == 0
    cluster.driver("n1").must("unmount", pod)
    wait_until(lambda: len(shown(cluster, name)["replicas"]) == 2, 60, "it has a second copy")
    second = cluster.other_copy("n3", name, "n1")
    # Not waited for: it may be used meanwhile.
    assert read_elsewhere(cluster, name, "n1", asked) == before
    wait_copies(cluster, name, "n1", second, mirrored=True)
    if pool != "file":
        assert sum_of_copy(cluster, "n1", name) == sum_of_copy(cluster, second, name)
    assert read_elsewhere(cluster, name, second, asked) == before

    must(cluster, "volume", "set", name, "--copies", "1", "--keep", second)
    wait_copies(cluster, name, second, mirrored=False)
    assert not [line for line in cluster.left_over("n1") if re.search(rf"\b{name}\b", line)]
    assert not [line for line in cluster.left_over(second) if "resource" in line or f"{name}.meta" in line]
    assert read_elsewhere(cluster, name, second, asked) == before
    cluster.delete_volume("n1", name)


@pytest.mark.long
def test_the_only_copy_moves(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    pod, asked = pod_dir(name), options(name, pool="thin", size="64Mi")
    cluster.create_volume("n1", name, "64Mi", "n1", pool="thin")
    cluster.driver("n1").must("mount", pod, asked)
    before = write_random(cluster, "n1", f"{pod}/file", 20)
    told = must(cluster, "volume", "move", name, "--from", "n1", "--to", "n2")
    assert "on n2 once the volume is released on n1, then the one on n1 goes" in told
    cluster.driver("n1").must("unmount", pod)
    wait_copies(cluster, name, "n2", mirrored=False)
    assert read_elsewhere(cluster, name, "n2", asked) == before
    # And by a drain, while nobody uses it.
    drained = cluster.plexvol("n3", "node", "drain", "n2")
    assert drained.code == 0, drained.text
    wait_until(lambda: "n2" not in str(shown(cluster, name)["replicas"]), 120, "it has left n2")
    must(cluster, "node", "uncordon", "n2")
    (there,) = [replica["node"] for replica in shown(cluster, name)["replicas"]]
    wait_copies(cluster, name, there, mirrored=False)
    assert read_elsewhere(cluster, name, there, asked) == before
    cluster.delete_volume("n1", name)


@pytest.mark.long
def test_one_of_two_moves_while_the_other_is_written_to(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    pod, asked = pod_dir(name), options(name, pool="thick", size="64Mi", replicas="2")
    cluster.create_volume("n1", name, "64Mi", "n1", "n2")
    cluster.driver("n1").must("mount", pod, asked)
    before = write_random(cluster, "n1", f"{pod}/file", 20)
    writer = cluster.node("n1").popen(["sh", "-c", f"while :; do date >>{pod}/writes; sync {pod}/writes; done"])
    assert must(cluster, "volume", "move", name, "--from", "n2", "--to", "n3").endswith(" moves to n3\n")
    wait_copies(cluster, name, "n1", "n3", mirrored=True)
    assert not [line for line in cluster.left_over("n2") if re.search(rf"\b{name}\b", line)]
    writer.kill()
    writer.wait()
    # The one in use waits for its pod.
    told = must(cluster, "volume", "move", name, "--from", "n1", "--to", "n2")
    assert told == f"volume {name}: the replica on n1 moves to n2 once the volume is released on n1\n"
    cluster.driver("n1").must("unmount", pod)
    wait_copies(cluster, name, "n2", "n3", mirrored=True)
    assert sum_of_copy(cluster, "n2", name) == sum_of_copy(cluster, "n3", name)
    assert read_elsewhere(cluster, name, "n2", asked) == before
    cluster.delete_volume("n1", name)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_node_that_loses_its_power_goes_on_where_it_was(
    cluster: Cluster, new_name: Callable[[], str], victim: str
) -> None:
    """While the second copy is made and filled: n1 has all the data, n2 is to get it."""
    name = new_name()
    pod, asked = pod_dir(name), options(name, pool="thick", size="256Mi")
    cluster.create_volume("n1", name, "256Mi", "n1")
    cluster.driver("n1").must("mount", pod, asked)
    before = write_random(cluster, "n1", f"{pod}/file", 200)
    must(cluster, "volume", "move", name, "--to", "n2")
    cluster.driver("n1").must("unmount", pod)
    wait_until(lambda: len(shown(cluster, name)["replicas"]) == 2, 60, "it has a second copy")
    cluster.node(victim).power_off()
    if victim == "n2":
        assert read_elsewhere(cluster, name, "n1", asked) == before
    cluster.node(victim).power_on()
    wait_copies(cluster, name, "n2", mirrored=False)
    assert read_elsewhere(cluster, name, "n2", asked) == before
    cluster.delete_volume("n1", name)
