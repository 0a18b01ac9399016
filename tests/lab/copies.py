"""How many copies a volume has, and where."""

from typing import Any

from cluster import Cluster
from lab import wait_until


def shown(cluster: Cluster, name: str) -> dict[str, Any]:
    found = cluster.volume("n3", name)
    assert found is not None
    return found


def copies(cluster: Cluster, name: str) -> list[str]:
    """Of those that count; [] while something is still to be done."""
    volume = shown(cluster, name)
    if volume["pending"] or volume["former"] or volume["state"] != "Ready":
        return []
    return sorted(replica["node"] for replica in volume["replicas"])


def wait_copies(cluster: Cluster, name: str, *nodes: str, mirrored: bool) -> None:
    wait_until(lambda: copies(cluster, name) == sorted(nodes), 180, f"{name} has copies on {nodes}")
    wait_until(lambda: (shown(cluster, name)["drbd_minor"] != 0) == mirrored, 60, f"{name} is mirrored: {mirrored}")
