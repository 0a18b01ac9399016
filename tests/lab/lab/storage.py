"""Preparing the data disk of a machine for LVM."""

from .node import Node

DATA_DISK = "/dev/vdb"
VOLUME_GROUP = "vg0"
THIN_POOL = "thin"
# About half of the disk: the rest stays free for logical volumes that are not thin.
THIN_POOL_SIZE = "1536m"


def prepare_lvm(node: Node) -> None:
    """Makes the volume group and its thin pool. Does nothing when the volume group is there."""
    if node.run(["vgs", "-qq", VOLUME_GROUP]).code == 0:
        return
    node.check(["vgcreate", "-qq", "-y", VOLUME_GROUP, DATA_DISK])
    node.check(["lvcreate", "-qq", "-y", "--type", "thin-pool", "-L", THIN_POOL_SIZE, "-n", THIN_POOL, VOLUME_GROUP])
