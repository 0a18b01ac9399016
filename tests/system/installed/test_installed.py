"""One `kubectl apply`, and what users then expect: volumes, an upgrade beside a writer, and a way back.

One cluster's life: the tests build on each other, in this order.
"""

import json
from pathlib import Path

import pytest
from cluster import AGENT, MOUNT_DRIVER, options, pod_dir
from containerd import ready_sandbox
from installed import ETCD, UNINSTALL, InstalledCluster
from lab import Command, Node, wait_until

NAME = "pv-1"
POD = pod_dir(NAME)
ASKED = options(NAME, size="64Mi", replicas="2", pool="thin")

DRBDS_HELPER = "/sys/module/drbd/parameters/usermode_helper"
OUR_HELPER = "/var/lib/plexvol/plexvol"

WRITTEN = "/run/written"
WRITER = f"""
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
told = os.open("{WRITTEN}", os.O_WRONLY | os.O_CREAT)
number = 0
while True:
    number += 1
    os.pwrite(file, b"%8d" % number, 0)
    os.fsync(file)
    os.pwrite(told, b"%8d" % number, 0)
"""
SOME = 30


def start_writer(node: Node) -> Command:
    writer = node.popen(["/usr/bin/python3", "-c", WRITER, f"{POD}/numbers"])
    wait_until(lambda: node.run(["test", "-s", WRITTEN]).code == 0, 60, "something is written")
    return writer


def wait_written(node: Node) -> None:
    """Until some more blocks are on both disks than when this was called."""
    before = int(node.read_file(WRITTEN))
    wait_until(lambda: int(node.read_file(WRITTEN)) > before + SOME, 120, f"{SOME} more blocks are written")


@pytest.mark.long
@pytest.mark.finding("O20")
def test_all_pods_are_ready(installed: InstalledCluster) -> None:
    """A member of etcd only with the others: a probe of its own asks it."""
    for node in installed.lab.nodes:
        assert installed.is_ready(node, ETCD) and installed.is_ready(node, AGENT)
    installed.node("n3").stop_service(ETCD)
    installed.node("n2").stop_service(ETCD)
    n1 = installed.node("n1")
    wait_until(lambda: not installed.is_ready(n1, ETCD), 120, "a member without the others is not ready")
    for name in ("n2", "n3"):
        installed.restart_pod(name, ETCD)
    installed.wait_ready([ETCD])
    installed.wait_alive(["n1", "n2", "n3"])


def test_the_doctor_finds_nothing_wrong(installed: InstalledCluster) -> None:
    found = installed.plexvol("n1", "doctor")
    assert found.code == 0, found.text


@pytest.mark.finding("D1")
@pytest.mark.long
def test_the_agent_in_its_container_asks_the_hosts_runtime(installed: InstalledCluster) -> None:
    """Nothing is mounted for that."""
    said = installed.plexvol("n1", "doctor").stdout.decode().splitlines()
    assert next(line for line in said if " container runtime " in line).startswith("ok ")
    n1, node = installed.driver("n1"), installed.node("n1")
    n1.must("mount", POD, ASKED)
    there = installed.driver(installed.other_copy("n1", NAME, "n1"))
    with ready_sandbox(node, "pod1"):
        refused = there.call("mount", POD, ASKED)
        assert not refused.succeeded and "mounted for pod prod/db-0 (uid pod1)" in refused.message
    wait_until(lambda: there.call("mount", POD, ASKED).succeeded, 180, "the dead pod's mount is given up")
    assert node.run(["mountpoint", "-q", POD]).code != 0
    there.must("unmount", POD)
    installed.wait_detached("n1", NAME)


def test_a_volumes_life(installed: InstalledCluster) -> None:
    n1 = installed.driver("n1")
    n1.must("mount", POD, ASKED)
    n1.node.sh(f"echo kept >{POD}/file; sync {POD}/file")
    n1.must("mount", POD, ASKED)
    n1.must("unmount", POD)
    n1.must("unmount", POD)
    installed.wait_detached("n1", NAME)
    there = installed.driver(installed.other_copy("n1", NAME, "n1"))
    there.must("mount", POD, ASKED)
    assert there.node.sh(f"cat {POD}/file").stdout == b"kept\n"
    there.must("unmount", POD)
    installed.wait_detached("n1", NAME)


@pytest.mark.long
def test_agent_and_driver_are_upgraded_while_a_pod_writes(installed: InstalledCluster, next_image: Path) -> None:
    n1, other = installed.node("n1"), installed.node(installed.other_copy("n1", NAME, "n1"))
    installed.driver("n1").must("mount", POD, ASKED)
    old = n1.read_file(MOUNT_DRIVER)
    with start_writer(n1) as writer:
        for node in (n1, other):
            installed.stop_agent(node.name)
            wait_written(n1)
            installed.start_agent(node.name, next_image)
            wait_until(lambda node=node: node.read_file(MOUNT_DRIVER) != old, 120, "the driver is replaced")
            installed.wait_alive(["n1", "n2", "n3"])
            wait_written(n1)
        assert writer.poll() is None, writer.stderr
        # The new pair knows what the old one has mounted, and the old one's drop is kept for the way back.
        installed.driver("n1").must("mount", POD, ASKED)
        assert n1.read_file(f"{Path(MOUNT_DRIVER).parent}/.plexvol.previous") == old
        writer.kill()
    shown = installed.volume("n1", NAME)
    assert shown is not None and shown["state"] == "Ready"


@pytest.mark.long
def test_it_is_not_taken_from_a_node_whose_pods_need_it(installed: InstalledCluster) -> None:
    installed.delete()
    installed.start_uninstall()
    installed.wait_log("n1", UNINSTALL, "1 volume is still mounted for pods here")
    for name in ("n2", "n3"):
        installed.wait_log(name, UNINSTALL, "this node is done")
        assert OUR_HELPER not in installed.node(name).read_file(DRBDS_HELPER).decode()
    assert OUR_HELPER in installed.node("n1").read_file(DRBDS_HELPER).decode()
    installed.end_uninstall()
    # What the next `kubectl apply` does: the pod's volume is as it was.
    installed.apply()
    installed.driver("n1").must("mount", POD, ASKED)
    assert installed.node("n1").sh(f"cat {POD}/file").stdout == b"kept\n"
    installed.driver("n1").must("unmount", POD)
    installed.wait_detached("n1", NAME)


@pytest.mark.long
def test_it_goes_from_all_nodes_and_data_stays(installed: InstalledCluster) -> None:
    installed.delete()
    installed.start_uninstall()
    for node in installed.lab.nodes:
        installed.wait_log(node.name, UNINSTALL, "this node is done")
        assert node.run(["test", "-e", str(Path(MOUNT_DRIVER).parent)]).code == 1
        assert node.run(["test", "-e", OUR_HELPER]).code == 1
        assert node.run(["test", "-e", "/run/plexvol"]).code == 1
        assert OUR_HELPER not in node.read_file(DRBDS_HELPER).decode()
    installed.end_uninstall()
    kept = installed.node("n1").sh("lvs --noheadings -o lv_name vg0").stdout.decode()
    assert NAME in kept

    installed.apply()
    installed.driver("n1").must("mount", POD, ASKED)
    assert installed.node("n1").sh(f"cat {POD}/file").stdout == b"kept\n"
    installed.driver("n1").must("unmount", POD)
    installed.wait_detached("n1", NAME)
    installed.delete_volume("n1", NAME)
    for node in installed.lab.nodes:
        wait_until(lambda node=node: installed.left_over(node.name) == [], 120, f"{node.name} is clean")
    assert installed.left_in_store("n1") == []
    assert json.loads(installed.plexvol("n1", "volume", "list", "-o", "json").stdout) == {"volumes": []}
