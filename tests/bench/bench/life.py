"""The life of a volume in the lab, by the driver's calls and by the same raw commands in their best order."""

import time
from collections import Counter

from cluster import Cluster, options, pod_dir
from lab import wait_until

from . import mirror
from .machines import shared_cluster
from .report import Line, alternately, ratio

ROUNDS = 5
SIZE = "128Mi"
POOL = "thick"

ALONE_UP = f"""
lvcreate -qq -y -Wn -Zn -L 128m -n raw vg0
device=/dev/vg0/raw
{mirror.FORMAT_AND_MOUNT}
"""
ALONE_DOWN = f"""
umount {mirror.MOUNTED}
lvremove -qq -f vg0/raw
"""
MIRROR_MADE = f"""
{mirror.FIRST_PROMOTION}
device={mirror.DEVICE}
{mirror.FORMAT_AND_MOUNT}
"""
MIRROR_LEFT = f"umount {mirror.MOUNTED}; {mirror.DEMOTION}"


class Life:
    """Each part answers how long coming and going took, in seconds."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.n1, self.n2 = cluster.node("n1"), cluster.node("n2")
        self.number = 0
        self.coming: dict[str, list[float]] = {}
        self.going: dict[str, list[float]] = {}

    def ours(self, replicas: int) -> list[float]:
        self.number += 1
        name = f"pv-life-{self.number}"
        driver, pod = self.cluster.driver("n1"), pod_dir(name)
        begin = time.monotonic()
        driver.must("mount", pod, options(name, size=SIZE, pool=POOL, replicas=str(replicas)))
        up = time.monotonic()
        driver.must("unmount", pod)
        self.cluster.wait_detached("n1", name)
        self.cluster.delete_volume("n1", name)
        return self._note(f"ours {replicas}", begin, up)

    def raw(self, replicas: int) -> list[float]:
        begin = time.monotonic()
        if replicas == 1:
            self.n1.sh(ALONE_UP)
            up = time.monotonic()
            self.n1.sh(ALONE_DOWN)
            return self._note("raw 1", begin, up)
        pair = (self.n1, self.n2)
        on_both, usual = self.cluster.lab.on_all, mirror.Options()
        on_both(lambda n: n.sh(mirror.make_side(usual) + mirror.start_side(n, pair[n is self.n1], usual)), pair)
        self.n1.sh(MIRROR_MADE)
        up = time.monotonic()
        self.n1.sh(MIRROR_LEFT)
        on_both(lambda node: node.sh(mirror.SIDE_DOWN), pair)
        return self._note("raw 2", begin, up)

    def _note(self, what: str, begin: float, up: float) -> list[float]:
        end = time.monotonic()
        self.coming.setdefault(what, []).append(up - begin)
        self.going.setdefault(what, []).append(end - up)
        return [end - begin]

    def count_commands(self, replicas: int) -> str:
        """External processes of one whole life, on both nodes, by name."""
        name = f"pv-life-{self.number}"
        counted = Counter(tool for node in ("n1", "n2") for tool in self.cluster.tools_run(node, name))
        return f"{counted.total()} processes: " + ", ".join(f"{tool} {n}" for tool, n in sorted(counted.items()))


def measure() -> list[Line]:
    lines = []
    life = Life(shared_cluster())
    for replicas in (1, 2):
        alternately(ROUNDS, lambda n=replicas: life.ours(n), lambda n=replicas: life.raw(n))
        told = life.count_commands(replicas)
        words = "a volume" if replicas == 1 else "a mirrored volume"
        for what, found in (("create, attach, format, mount", life.coming), ("unmount, detach, delete", life.going)):
            line = ratio(f"{words}: {what}, over raw commands", found[f"ours {replicas}"], found[f"raw {replicas}"],
                         most=1.10)
            lines.append(line)
        lines[-1].detail += f"; its life: {told}"
    wait_until(lambda: life.cluster.left_over("n1") == [], 120, "n1 is clean")
    return lines
