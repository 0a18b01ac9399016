"""Never two truths: what becomes of a primary that is cut off, of a freeze that nobody ended, of a disk that fails."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cluster import AGENT, MOUNT_DRIVER, Cluster, Driver
from containerd import CGROUPS
from lab import Command, Result, etcd, wait_until
from pods import checksum, holding_open, mount_as_kubelets_do, write_random

# A pod's process: each number is on the disk of both nodes, or of the one that goes on, before it is said.
APPENDING = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(1 << 30):
    os.write(file, b"%d\\n" % number)
    os.fsync(file)
    print(number, flush=True)
"""


@contextmanager
def in_cgroup_of(cluster: Cluster, node: str, uid: str) -> Iterator[Command]:
    """A process of a pod that does not use the volume."""
    cgroup = f"{CGROUPS}/kubepods/pod{uid}"
    script = f"mkdir -p {cgroup}; echo $$ >{cgroup}/cgroup.procs; echo is in; exec sleep 1000"
    with cluster.node(node).popen(["sh", "-c", script]) as command:
        assert command.line() == "is in"
        yield command


def start_appending(cluster: Cluster, node: str, path: str) -> Command:
    return cluster.node(node).popen(["python3", "-I", "-S", "-c", APPENDING, path])


def wait_beyond(writer: Command, number: int) -> None:
    """Until it has said more than this, which it may have done long ago."""
    assert any(int(line) > number for line in writer.lines(60)), "the writer has ended"


def said_by(result: Result) -> str:
    return (result.stdout + result.stderr).decode()


def last_number(cluster: Cluster, node: str, pod: str) -> int:
    # The last line may be on its way.
    return int(cluster.node(node).sh(f"tail -n 2 {pod}/numbers | head -n 1").stdout)


def is_frozen(cluster: Cluster, node: str, name: str) -> bool:
    """By the kernel's own words."""
    lines = cluster.node(node).sh("drbdsetup events2 --now").stdout.decode().splitlines()
    return f"exists resource name:{name} role:Primary suspended:fencing" in " ".join(lines)


def connection_changes(cluster: Cluster, node: str, name: str) -> list[str]:
    """By the kernel's log."""
    return cluster.node(node).sh(f"dmesg | grep -F 'drbd {name}: conn(' || true").stdout.decode().splitlines()


def current(cluster: Cluster, asked: str, name: str) -> dict[str, Any]:
    node = cluster.node(asked)
    found = etcd.find_value(node, f"/plexvol/current/{name}", node.etcd_url)
    assert found is not None, f"{name} has no current set"
    return dict(json.loads(found))


@pytest.mark.long
@pytest.mark.finding("D4")
def test_a_primary_that_was_cut_off_and_lost_is_cleaned_up(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    with (
        in_cgroup_of(cluster, "n1", "pod1") as member,
        in_cgroup_of(cluster, "n1", "pod12") as stranger,
        start_appending(cluster, "n1", f"{pod}/numbers") as writer,
    ):
        heard = int(next(writer.lines()))
        cluster.lab.cut("n1")
        mount_as_kubelets_do(cluster, "n2", pod, asked)
        theirs = write_random(cluster, "n2", f"{pod}/theirs", 5)
        kept = int(cluster.node("n2").sh(f"tail -n 1 {pod}/numbers").stdout)
        assert is_frozen(cluster, "n1", name)
        cluster.lab.heal()
        # No person, no reboot: the pod's process is killed, and the copy is made anew from the winner's.
        assert writer.wait(120).code == 128 + 9
        for line in writer.lines():
            heard = int(line)
        # Nor does another process of the pod live on, which could wait for an old write at any time; no other pod's ends.
        assert member.wait(120).code == 128 + 9
        assert stranger.poll() is None
        stranger.kill()
    assert heard <= kept, "a write was acknowledged to the loser's pod and is lost"
    cluster.wait_state("n2", name, "Ready")
    assert cluster.replica("n2", name, "n1")["role"] == "Secondary"
    assert cluster.replica("n2", name, "n1")["mounts"] == []
    cluster.driver("n2").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/theirs") == theirs


@pytest.mark.long
def test_an_agent_that_was_away_ends_the_freeze(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, _ = mounted
    n1 = cluster.node("n1")
    cluster.kill_agent("n1")
    with start_appending(cluster, "n1", f"{pod}/numbers") as writer:
        assert writer.line() is not None
        cluster.node("n2").power_off()
        wait_until(lambda: is_frozen(cluster, "n1", name), 120, "n1 is frozen")
        # As after a helper that has given up: nobody will ask again.
        wait_until(lambda: n1.run(["pkill", "-9", "-f", "plexvol fence-peer"]).code == 0, 120, "the kernel asks")
        cluster.resume_agent("n1")
        wait_until(lambda: not is_frozen(cluster, "n1", name), 120, "the freeze is over")
        assert current(cluster, "n1", name)["nodes"] == ["n1"]
        wait_beyond(writer, last_number(cluster, "n1", pod))
        writer.kill()


@pytest.mark.long
def test_a_peer_lost_while_etcd_is_down_is_a_freeze_until_etcd_is_back(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    with start_appending(cluster, "n1", f"{pod}/numbers") as writer:
        first = int(writer.line(60) or -1)
        for node in cluster.lab.nodes:
            node.kill_service("etcd")
        wait_beyond(writer, first + 5)
        refused = cluster.driver("n3").start("mount", pod, asked)
        cluster.node("n2").power_off()
        wait_until(lambda: is_frozen(cluster, "n1", name), 120, "n1 is frozen")
        refused.kill()
        cluster.node("n2").power_on()
        for node in cluster.lab.nodes:
            if node.name != "n2":
                node.resume_service("etcd")
        wait_until(lambda: not is_frozen(cluster, "n1", name), 120, "the freeze is over")
        wait_beyond(writer, last_number(cluster, "n1", pod))
        writer.kill()
    cluster.wait_state("n1", name, "Ready")


@pytest.mark.long
def test_without_etcd_a_volume_is_unmounted_and_a_mount_says_what_it_waits_for(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    n1 = cluster.node("n1")
    kept = write_random(cluster, "n1", f"{pod}/kept", 1)
    for node in cluster.lab.nodes:
        node.kill_service("etcd")
    cluster.driver("n1").must("unmount", pod)
    assert n1.run(["mountpoint", "-q", pod]).code != 0

    # The kubelet asks again and again; each time it is told why.
    n1.sh(f"mkdir -p /run/hasty && cp {MOUNT_DRIVER} /run/hasty/plexvol")
    n1.write_file("/run/hasty/.plexvol.json", json.dumps({"timeout_seconds": 15}))
    hasty = Driver(n1, "/run/hasty/plexvol")
    refused = hasty.call("mount", pod, asked)
    assert not refused.succeeded and "etcd: cannot" in refused.message, refused.message
    for node in cluster.lab.nodes:
        node.resume_service("etcd")
    cluster.driver("n1").must("mount", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/kept") == kept
    n1.sh("rm -r /run/hasty")


@pytest.mark.long
def test_another_configuration_of_drbd_is_taken_while_it_is_written_to(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    """As after an upgrade to a version that writes it otherwise."""
    name, pod, _ = mounted
    cluster.wait_state("n1", name, "Ready")
    n1 = cluster.node("n1")
    file = f"/var/lib/plexvol/drbd.d/{name}.res"
    option = "ping-int"

    def epoch() -> int:
        return int(current(cluster, "n1", name)["epoch"])

    def in_kernel() -> str:
        return n1.sh(f"drbdsetup show {name} | grep -w {option}").stdout.decode()

    with start_appending(cluster, "n1", f"{pod}/numbers") as writer:
        assert writer.line() is not None
        usual, before, connections = in_kernel(), epoch(), connection_changes(cluster, "n1", name)
        for node in ("n1", "n2"):
            cluster.kill_agent(node)
            cluster.node(node).sh(
                f"sed -i 's/{option} .*;/{option} 9;/' {file} && drbdadm -c {file} adjust {name}"
            )
        assert in_kernel() != usual
        for node in ("n1", "n2"):
            cluster.resume_agent(node)
        wait_until(lambda: in_kernel() == usual, 120, "the kernel has what the agent writes")
        # What may part the two counts as if it had, until they are seen together again.
        wait_until(lambda: epoch() > before and sorted(current(cluster, "n1", name)["nodes"]) == ["n1", "n2"], 120,
                   "both copies are in the set")
        assert connection_changes(cluster, "n1", name) == connections
        wait_beyond(writer, last_number(cluster, "n1", pod))
        writer.kill()
    cluster.wait_state("n1", name, "Ready")


def test_a_disk_that_fails_under_a_mounted_volume_is_out_until_it_is_whole(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    n1 = cluster.node("n1")
    device = f"vg0-{name.replace('-', '--')}"
    table = n1.sh(f"dmsetup table {device}").stdout.decode().strip()
    sectors = table.split()[1]
    with holding_open(cluster, "n1", f"{pod}/open"):
        n1.sh(f"dmsetup suspend --noflush {device}; dmsetup load {device} --table '0 {sectors} error'; dmsetup resume {device}")
        during = write_random(cluster, "n1", f"{pod}/during", 3)
        wait_until(lambda: current(cluster, "n1", name)["nodes"] == ["n2"], 120, "n1's copy is out of the set")
        n1.sh(f"dmsetup suspend --noflush {device}; dmsetup load {device} --table '{table}'; dmsetup resume {device}")
        assert checksum(cluster, "n1", f"{pod}/during") == during
    # It is not given back to a primary: that would be resynchronised under it.
    cluster.driver("n1").must("unmount", pod)
    cluster.wait_state("n1", name, "Ready", 180)
    assert sorted(current(cluster, "n1", name)["nodes"]) == ["n1", "n2"]
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/during") == during


@pytest.mark.long
def test_a_cluster_that_was_switched_off_comes_back_by_itself(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    kept = write_random(cluster, "n1", f"{pod}/kept", 5)
    for node in cluster.lab.nodes:
        node.power_off()
    for node in reversed(cluster.lab.nodes):
        node.power_on()
    cluster.wait_alive([node.name for node in cluster.lab.nodes])
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/kept") == kept
    cluster.wait_state("n3", name, "Ready")
    assert AGENT in cluster.node("n1").sh("ls /persist/service").stdout.decode()


@pytest.mark.long
def test_a_person_can_choose_the_old_copy_when_the_newest_will_not_come_back(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    both = write_random(cluster, "n1", f"{pod}/both", 3)
    force = ("volume", "force-current", name, "--node", "n2")
    refused = cluster.plexvol("n3", *force, "--i-accept-data-loss")
    assert refused.code != 0 and "not needed: " in said_by(refused)
    cluster.node("n2").power_off()
    write_random(cluster, "n1", f"{pod}/newer", 3)
    cluster.node("n1").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n1").get("alive") is False, 120, "n1 counts as gone")

    undecided = cluster.plexvol("n3", *force)
    assert undecided.code != 0 and "--i-accept-data-loss" in said_by(undecided) and "no, since 20" in said_by(undecided)
    assert current(cluster, "n3", name)["nodes"] == ["n1"]
    chosen = cluster.plexvol("n3", *force, "--i-accept-data-loss")
    assert chosen.code == 0, said_by(chosen)
    assert current(cluster, "n3", name)["forced"]["node"] == "n2"
    assert (cluster.volume("n3", name) or {})["forced"].startswith("n2 by uid 0 on n3 at 20")
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/both") == both
    assert cluster.node("n2").run(["test", "-e", f"{pod}/newer"]).code != 0
    later = write_random(cluster, "n2", f"{pod}/later", 3)

    # What only n1 had is gone, as was accepted; it is made anew from what was chosen.
    cluster.node("n1").power_on()
    cluster.wait_state("n2", name, "Ready", 180)
    assert "forced" not in current(cluster, "n3", name)
    assert (cluster.volume("n3", name) or {})["forced"].startswith("n2 by uid 0 on n3 at 20")
    cluster.driver("n2").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/later") == later
    assert cluster.node("n1").run(["test", "-e", f"{pod}/newer"]).code != 0
