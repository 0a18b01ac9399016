"""Volumes are made larger while they are mounted and written to: one copy, two copies, each pool, each file system."""

import re
from collections.abc import Callable

import pytest
from cluster import MOUNT_DRIVER, Cluster, Driver, options, pod_dir
from lab import wait_until


def room(cluster: Cluster, node: str, path: str) -> int:
    """Of the file system there, in MiB."""
    blocks, size = cluster.node(node).sh(f"stat -f -c '%b %S' {path}").stdout.split()
    return int(blocks) * int(size) // (1 << 20)


@pytest.mark.parametrize(
    ("pool", "fs_type", "replicas", "size"),
    [
        ("thick", "ext4", 2, 64),
        pytest.param("thin", "xfs", 2, 300, marks=pytest.mark.long),
        pytest.param("thick", "xfs", 1, 300, marks=pytest.mark.long),
        pytest.param("thin", "ext4", 1, 64, marks=pytest.mark.long),
        pytest.param("file", "ext4", 2, 64, marks=pytest.mark.long),
    ],
)
def test_a_volume_grows_while_it_is_written_to(
    cluster: Cluster, new_name: Callable[[], str], pool: str, fs_type: str, replicas: int, size: int
) -> None:
    name = new_name()
    driver, pod = cluster.driver("n1"), pod_dir(name)
    asked = options(name, fs_type=fs_type, size=f"{size}Mi", replicas=str(replicas), pool=pool)
    driver.must("mount", pod, asked)
    before = room(cluster, "n1", pod)
    driver.node.sh(f"head -c 20M /dev/urandom >{pod}/old; sync {pod}/old")
    writer = driver.node.popen(["sh", "-c", f"while :; do date >>{pod}/writes; sync {pod}/writes; done"])
    done = cluster.plexvol("n1", "volume", "resize", name, f"{3 * size}Mi")
    assert done.code == 0, done.stderr
    assert done.stdout.decode() == f"volume {name} has {3 * size}Mi\n"
    writer.kill()
    writer.wait()
    assert room(cluster, "n1", pod) >= before + 2 * size * 0.8
    # More than there was room for before.
    driver.node.sh(f"head -c {size}M /dev/urandom >{pod}/new; sync {pod}/new")
    sums = driver.node.sh(f"cd {pod}; md5sum old new writes").stdout
    driver.must("unmount", pod)
    cluster.wait_detached("n1", name)
    reader = cluster.driver(cluster.other_copy("n1", name, "n1")) if replicas == 2 else driver
    reader.must("mount", pod, asked)
    assert reader.node.sh(f"cd {pod}; md5sum old new writes").stdout == sums
    reader.must("unmount", pod)
    cluster.wait_detached("n1", name)
    cluster.delete_volume("n1", name)


def mounted(cluster: Cluster, name: str, size: str, fs_type: str = "ext4", pool: str = "thick") -> tuple[Driver, str, str]:
    """On n1, with two copies. And its options, and where."""
    driver, pod = cluster.driver("n1"), pod_dir(name)
    asked = options(name, fs_type=fs_type, size=size, replicas="2", pool=pool)
    driver.must("mount", pod, asked)
    return driver, asked, pod


def out_of_sync(cluster: Cluster, name: str) -> set[str]:
    told = cluster.node("n1").sh(f"drbdsetup events2 --now --statistics {name}").stdout.decode()
    return set(re.findall(r"out-of-sync:(\d+)", told))


def check_both_copies(cluster: Cluster, name: str, asked: str, pod: str, more_than: int) -> None:
    """What was written on n1 is read on the other node, where the file system is as large."""
    other = cluster.driver(cluster.other_copy("n1", name, "n1"))
    sums = cluster.node("n1").sh(f"cd {pod}; md5sum *").stdout
    cluster.driver("n1").must("unmount", pod)
    cluster.wait_detached("n1", name)
    other.must("mount", pod, asked)
    wait_until(lambda: room(cluster, other.node.name, pod) > more_than, 60, "the file system has grown")
    assert other.node.sh(f"cd {pod}; md5sum *").stdout == sums
    other.must("unmount", pod)
    cluster.wait_detached("n1", name)
    cluster.delete_volume("n1", name)


@pytest.mark.long
def test_copies_that_are_apart_grow_once_they_are_together(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    driver, asked, pod = mounted(cluster, name, "64Mi")
    driver.node.sh(f"rmdir {pod}/lost+found")
    other = cluster.other_copy("n1", name, "n1")
    cluster.lab.cut("n1", other)
    # Acknowledged without the other copy, once that is out of the set.
    driver.node.sh(f"head -c 8M /dev/urandom >{pod}/apart; sync {pod}/apart")
    resize = driver.node.popen([MOUNT_DRIVER, "volume", "resize", name, "192Mi"])
    wait_until(lambda: (cluster.volume("n1", name) or {})["size_bytes"] == 192 << 20, 60, "the size is recorded")
    # When both were larger as they connect, DRBD would leave what is new marked as out of sync.
    for node in ("n1", other):
        assert float(cluster.node(node).sh(f"lvs --noheadings --nosuffix --units m -o lv_size vg0/{name}").stdout) == 64
    cluster.lab.heal()
    assert resize.wait(120).code == 0
    assert room(cluster, "n1", pod) > 150
    driver.node.sh(f"head -c 100M /dev/urandom >{pod}/new; sync {pod}/new")
    cluster.wait_state("n1", name, "Ready")
    assert out_of_sync(cluster, name) == {"0"}
    check_both_copies(cluster, name, asked, pod, 150)


@pytest.mark.long
def test_what_is_not_mounted_grows_when_it_is(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    driver, asked, pod = mounted(cluster, name, "64Mi")
    driver.node.sh(f"rmdir {pod}/lost+found; echo kept >{pod}/file")
    driver.must("unmount", pod)
    cluster.wait_detached("n1", name)
    done = cluster.plexvol("n1", "volume", "resize", name, "192Mi")
    assert done.stdout.decode() == f"volume {name} has 192Mi, its file system grows when it is mounted\n", done.stderr
    # Its agent brings it up again, and the two connect: their disks must not have grown by then.
    cluster.node(cluster.other_copy("n1", name, "n1")).check(["drbdsetup", "down", name])
    cluster.wait_state("n1", name, "Ready")
    driver.must("mount", pod, asked)
    wait_until(lambda: room(cluster, "n1", pod) > 150, 60, "the file system has grown")
    assert out_of_sync(cluster, name) == {"0"}
    check_both_copies(cluster, name, asked, pod, 150)


@pytest.mark.long
def test_a_node_that_is_away_is_named(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    cluster.create_volume("n1", name, "64Mi", "n1", "n3")
    cluster.kill_agent("n3")
    wait_until(lambda: "n3" not in cluster.alive_as_seen_by("n1"), 60, "n3 counts as gone")
    done = cluster.plexvol("n1", "volume", "resize", name, "128Mi")
    assert done.code != 0 and b"cannot grow by 64Mi: node n3" in done.stderr, done.stderr
    shown = cluster.volume("n1", name)
    assert shown and shown["size_bytes"] == 64 << 20
    cluster.resume_agent("n3")
    cluster.wait_alive(["n3"])
    cluster.delete_volume("n1", name)
