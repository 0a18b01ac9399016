"""What 0.1.0 was caught at with disks: one that was replaced, one of somebody else that is damaged, a copy that is
behind, and a volume that cannot be let go of."""

from collections.abc import Iterator

import pytest
from cluster import Cluster
from lab import Node, wait_until
from pods import checksum, mount_as_kubelets_do, write_random
from test_arbiter import current

LVM_CONF = "/etc/lvm/lvm.conf"

# By device-mapper: loop devices nobody takes for disks.
DAMAGE = f"""
cp {LVM_CONF} /run/lvm.conf
sed -i 's,\\[ "a|,[ "a|^/dev/mapper/disk$|"\\, "a|,' {LVM_CONF}
truncate -s 32M /run/theirs && losetup /dev/loop7 /run/theirs
dmsetup create disk --table '0 65536 linear /dev/loop7 0'
vgcreate -qq -y theirs /dev/mapper/disk
lvcreate -qq -an -Wn -Zn -l 1 -n one theirs
at=$(grep -abo 'theirs {{' /run/theirs | tail -n 1 | cut -d : -f 1)
printf X | dd of=/dev/mapper/disk bs=1 seek=$((at + 20)) conv=notrunc,fsync 2>&1
lvs -qq --reportformat json vg0 | grep 'Retrying metadata scan'
"""


@pytest.fixture
def damaged_disk(cluster: Cluster) -> Iterator[Node]:
    """n1 has a disk of somebody else, whose group lvm2 cannot read."""
    n1 = cluster.node("n1")
    try:
        n1.sh(DAMAGE)
        yield n1
    finally:
        n1.sh(f"dmsetup remove disk; losetup -d /dev/loop7; cp /run/lvm.conf {LVM_CONF}; rm -f /run/theirs")


@pytest.mark.long
@pytest.mark.finding("O1")
def test_a_damaged_disk_of_somebody_else_keeps_no_pool_from_being_used(
    damaged_disk: Node, cluster: Cluster
) -> None:
    cluster.create_volume("n1", "pv-beside", "64Mi", "n1")
    cluster.wait_state("n1", "pv-beside", "Ready")
    cluster.delete_volume("n1", "pv-beside")


@pytest.mark.long
@pytest.mark.finding("O8")
def test_what_a_copy_lacks_is_told_of_that_copy(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, _ = mounted
    cluster.node("n2").power_off()
    write_random(cluster, "n1", f"{pod}/newer", 20)
    # The agent of n1 tells of it, whenever it looks.
    wait_until(lambda: lacking(cluster, name, "n1") + lacking(cluster, name, "n2") > 10 << 20, 180, "it is told")
    good = cluster.replica("n3", name, "n1")
    assert good["synced_percent"] == 100 and good["out_of_sync_bytes"] == 0
    assert lacking(cluster, name, "n2") > 10 << 20
    assert cluster.replica("n3", name, "n2")["synced_percent"] < 100
    shown = cluster.plexvol("n3", "volume", "show", name).stdout.decode()
    assert any("n2" in line and "lacks at least" in line for line in shown.splitlines()), shown


def lacking(cluster: Cluster, name: str, node: str) -> int:
    return int(cluster.replica("n3", name, node).get("out_of_sync_bytes", 0))


@pytest.mark.long
@pytest.mark.finding("D14")
def test_a_copy_whose_disk_was_replaced_is_made_again(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    kept = write_random(cluster, "n1", f"{pod}/kept", 5)
    n2 = cluster.node("n2")
    cluster.kill_agent("n2")
    n2.sh(f"drbdsetup down {name}")
    n2.check(["lvremove", "-qq", "-y", f"vg0/{name}", f"vg0/{name}.meta"])
    cluster.resume_agent("n2")
    wait_until(lambda: n2.run(["lvs", f"vg0/{name}"]).code == 0, 180, f"n2 has a copy of {name} again")
    cluster.wait_state("n3", name, "Ready", 180)
    cluster.driver("n1").must("unmount", pod)
    cluster.node("n1").power_off()
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/kept") == kept


@pytest.mark.long
@pytest.mark.finding("D5")
def test_a_copy_is_put_back_while_the_volume_cannot_be_let_go_of(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    """Somebody on n1 has a mount namespace of its own, in which it is mounted for ever."""
    name, pod, _ = mounted
    hold = "echo holds; exec sleep 1000"
    with cluster.node("n1").popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", hold]) as holder:
        assert holder.line() == "holds"
        cluster.node("n2").power_off()
        write_random(cluster, "n1", f"{pod}/newer", 5)
        assert current(cluster, "n3", name)["nodes"] == ["n1"]
        cluster.node("n1").sh(f"umount {pod}")
        cluster.node("n2").power_on()
        wait_until(lambda: set(current(cluster, "n3", name)["nodes"]) == {"n1", "n2"}, 180, "n2 is put back")
        holder.kill()
        holder.wait()
    cluster.wait_detached("n3", name)
