"""What pods and their kubelets do with a volume."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster import Cluster
from lab import wait_until


def mount_as_kubelets_do(cluster: Cluster, node: str, pod: str, asked: str) -> None:
    """Again and again, until it succeeds."""

    def attempt() -> bool:
        return cluster.driver(node).call("mount", pod, asked).succeeded

    wait_until(attempt, 180, f"{node} mounts {pod}")


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
