"""A volume's life by the calls that kubelets and controller-managers make, on real LVM and DRBD."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import Cluster, Driver, Reply, device_mount_dir, options, pod_dir


def twice(driver: Driver, *arguments: str) -> Reply:
    """Twice in a row, then twice at once: every call must be able to come again."""
    first = driver.must(*arguments)
    driver.must(*arguments)
    with ThreadPoolExecutor(2) as threads:
        for reply in threads.map(lambda _: driver.must(*arguments), range(2)):
            assert reply.json == first.json
    return first


@pytest.mark.parametrize(
    ("pool", "fs_type", "replicas", "size"),
    [
        pytest.param("thick", "ext4", 1, "64Mi", marks=pytest.mark.long),
        pytest.param("thick", "xfs", 2, "300Mi", marks=pytest.mark.long),
        ("thin", "ext4", 2, "64Mi"),
        pytest.param("thin", "xfs", 1, "300Mi", marks=pytest.mark.long),
    ],
)
def test_attach_to_detach(
    cluster: Cluster, new_name: Callable[[], str], pool: str, fs_type: str, replicas: int, size: str
) -> None:
    name = new_name()
    driver = cluster.driver("n1", attach=True)
    asked = options(name, fs_type=fs_type, size=size, replicas=str(replicas), pool=pool)
    device_dir, pod = device_mount_dir(name), pod_dir(name)

    device = twice(driver, "attach", asked, "n1").json["device"]
    assert device == f"/dev/plexvol/{name}"
    assert twice(driver, "waitforattach", device, asked).json["device"] == device
    assert twice(driver, "isattached", asked, "n1").json["attached"] is True
    assert driver.must("isattached", asked, "n2").json["attached"] is False
    driver.node.sh(f"mkdir -p -m 750 {device_dir} {pod}")
    twice(driver, "mountdevice", device_dir, device, asked)
    twice(driver, "mount", pod, asked)
    driver.node.sh(f"echo kept >{pod}/file; sync {pod}/file")
    twice(driver, "unmount", pod)
    twice(driver, "unmountdevice", device_dir)
    twice(driver, "detach", name, "n1")
    assert driver.must("isattached", asked, "n1").json["attached"] is False

    # What was written is there at the next attach; its options are those of before.
    driver.must("attach", asked, "n1")
    driver.must("mountdevice", device_dir, device, asked)
    driver.must("mount", pod, asked)
    assert driver.node.sh(f"cat {pod}/file").stdout == b"kept\n"
    driver.must("unmount", pod)
    driver.must("unmountdevice", device_dir)
    driver.must("detach", name, "n1")
    cluster.delete_volume("n1", name)


@pytest.mark.parametrize(
    ("pool", "fs_type", "replicas", "size"),
    # What the other life cycle leaves out, so that all eight are tried; and DRBD over loop devices.
    [
        pytest.param("thick", "ext4", 2, "64Mi", marks=pytest.mark.long),
        pytest.param("thick", "xfs", 1, "300Mi", marks=pytest.mark.long),
        pytest.param("thin", "ext4", 1, "64Mi", marks=pytest.mark.long),
        pytest.param("thin", "xfs", 2, "300Mi", marks=pytest.mark.long),
        pytest.param("file", "ext4", 2, "64Mi", marks=pytest.mark.long),
    ],
)
def test_mount_to_unmount(
    cluster: Cluster, new_name: Callable[[], str], pool: str, fs_type: str, replicas: int, size: str
) -> None:
    name = new_name()
    driver = cluster.driver("n1")
    asked = options(name, fs_type=fs_type, size=size, replicas=str(replicas), pool=pool)
    pod = pod_dir(name)
    twice(driver, "mount", pod, asked)
    assert driver.node.sh(f"stat -f -c %T {pod}").stdout.strip().decode() in ("ext2/ext3", "xfs")
    driver.node.sh(f"echo kept >{pod}/file; sync {pod}/file")
    twice(driver, "unmount", pod)
    cluster.wait_detached("n1", name)
    if replicas == 2:
        other = next(
            replica["node"] for replica in cluster.volume("n1", name)["replicas"] if replica["node"] != "n1"
        )
        there = cluster.driver(other)
        there.must("mount", pod, asked)
        assert there.node.sh(f"cat {pod}/file").stdout == b"kept\n"
        there.must("unmount", pod)
        cluster.wait_detached("n1", name)
    cluster.delete_volume("n1", name)


def test_a_node_without_a_copy_is_refused_with_the_names_of_those_that_have_one(
    cluster: Cluster, new_name: Callable[[], str]
) -> None:
    name = new_name()
    cluster.create_volume("n1", name, "64Mi", "n1", "n2")
    reply = cluster.driver("n3").call("mount", pod_dir(name), options(name))
    assert not reply.succeeded
    assert "no replica on n3" in reply.message and "n1, n2" in reply.message
    cluster.delete_volume("n1", name)


def test_a_new_mirror_needs_no_first_sync_and_both_copies_are_alike(
    cluster: Cluster, new_name: Callable[[], str]
) -> None:
    name = new_name()
    cluster.create_volume("n1", name, "256Mi", "n1", "n2", pool="thin")
    cluster.wait_state("n1", name, "Ready")
    for node in ("n1", "n2"):
        used = cluster.node(node).sh(f"lvs --noheadings --nosuffix --units m -o data_percent vg0/{name}")
        assert float(used.stdout) < 5
    cluster.delete_volume("n1", name)
