"""I/O on a Plexvol volume with two copies, over the same on a DRBD volume made by hand, and on a logical volume alone.

On the devices and not through a file system: that one is the same above all three, and would only add what varies.
What is made by hand has the size and the options of Plexvol's own, as the kernel tells them.

Every job runs in short turns, on both volumes in each turn, and the figure is the median of the turns' ratios: what
else the machine does changes from minute to minute, and less from second to second. The turns' spread tells how much.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cluster import Cluster, options
from lab import Node

from . import mirror
from .machines import shared_cluster
from .report import Line

VOLUME = "pv-io"
SIZE = "128Mi"
POOL = "thick"
ALONE = "alone"
TURNS = 12
RAW_EVERY = 4  # turns; it only shows what DRBD itself takes
TURN_SECONDS = 1
OURS, BY_HAND, RAW = "ours", "by hand", "raw"
DEVICES = {OURS: f"/dev/plexvol/{VOLUME}", BY_HAND: mirror.DEVICE, RAW: f"/dev/vg0/{ALONE}"}


@dataclass(frozen=True)
class Job:
    what: str
    pattern: str
    block: str
    depth: int


JOBS = (
    Job("4k random writes, one at a time", "randwrite", "4k", 1),
    Job("4k random writes, 16 at a time", "randwrite", "4k", 16),
    Job("4k random reads, 16 at a time", "randread", "4k", 16),
    Job("1M writes in sequence", "write", "1M", 4),
    Job("1M reads in sequence", "read", "1M", 4),
)


def measure() -> list[Line]:
    cluster = shared_cluster()
    n1, n2 = cluster.node("n1"), cluster.node("n2")
    make_ours(cluster)
    asked = mirror.read_options(n1, VOLUME)
    start = {n1: mirror.start_side(n1, n2, asked), n2: mirror.start_side(n2, n1, asked)}
    cluster.lab.on_all(lambda node: node.sh(mirror.make_side(asked) + start[node]), start)
    n1.sh(f"{mirror.FIRST_PROMOTION}\nlvcreate -qq -y -Wn -Zn -L {asked.size} -n {ALONE} vg0")
    assert mirror.read_options(n1, mirror.NAME) == asked
    for device in DEVICES.values():
        # Also what was never written to has its place from here on, in the machines' disk images. It ends with ENOSPC.
        n1.run(["dd", "if=/dev/zero", f"of={device}", "bs=1M", "oflag=direct"])
    lines = [compare(n1, job) for job in JOBS]
    n1.sh(f"{mirror.DEMOTION}; lvremove -qq -f vg0/{ALONE}")
    cluster.lab.on_all(lambda node: node.sh(mirror.SIDE_DOWN), start)
    remove_ours(cluster)
    return lines


def make_ours(cluster: Cluster) -> None:
    cluster.create_volume("n1", VOLUME, SIZE, "n1", "n2", pool=POOL)
    cluster.driver("n1", attach=True).must("attach", options(VOLUME), "n1")


def remove_ours(cluster: Cluster) -> None:
    cluster.driver("n1", attach=True).must("detach", VOLUME, "n1")
    cluster.delete_volume("n1", VOLUME)


def compare(node: Node, job: Job) -> Line:
    rates = run(node, job)
    ratios = [ours / other for ours, other in zip(rates[OURS], rates[BY_HAND], strict=True)]
    share = statistics.median(rates[OURS]) / statistics.median(rates[RAW])
    ordered = sorted(ratios)
    return Line(
        f"{job.what}, over DRBD by hand", statistics.median(ratios), "times", least=0.98,
        detail=f"turns from {ordered[0]:.2f} to {ordered[-1]:.2f}; {per_second(rates[OURS])} over "
               f"{per_second(rates[BY_HAND])} a second; {share:.2g} of the logical volume's alone, "
               f"{per_second(rates[RAW])}",
        samples=rates,
    )  # fmt: skip


def per_second(rates: Sequence[float]) -> str:
    low, high = min(rates), max(rates)
    return f"{statistics.median(rates):.3g} ({low:.3g} to {high:.3g})"


def run(node: Node, job: Job) -> dict[str, list[float]]:
    """Requests a second of each turn, by device. One process runs them all: its start takes longer than a turn."""
    text = f"""
[global]
ioengine=libaio
direct=1
thread=1
rw={job.pattern}
bs={job.block}
iodepth={job.depth}
time_based=1
runtime={TURN_SECONDS}
stonewall
"""
    for turn in range(TURNS):
        names = [OURS, BY_HAND] if turn % 2 == 0 else [BY_HAND, OURS]
        if turn % RAW_EVERY == 0:
            names.append(RAW)
        text += "".join(f"[{name}]\nfilename={DEVICES[name]}\n" for name in names)
    output = node.check(["fio", "--output-format=json", "-"], stdin=text.encode(), timeout=300).stdout.decode()
    rates: dict[str, list[float]] = {name: [] for name in DEVICES}
    direction = "read" if "read" in job.pattern else "write"
    for done in json.loads(output)["jobs"]:
        rates[done["jobname"]].append(done[direction]["iops"])
    return rates
