"""As many volumes on LVM and DRBD as the lab makes in a bounded time: how many, and what they cost the agent of n1.

First volumes of one copy in the thin pool, where room is no limit, then mirrored ones in the thick pool. All have a
copy on n1. The machines are emulated, so the times are no node's; what counts is whether they stay with more volumes.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from cluster import AGENT_PID, ATTACH_DRIVER, Cluster, options
from lab import Node

from .calls import TOOLS, read_spawned
from .machines import shared_cluster
from .report import Line, ratio, words

NODE = "n1"
FIRST = "pv-lab-0"
SIZE = "16Mi"  # the smallest there is
AT_ONCE = 4
CALLS = 30
CREATE_TIMEOUT = 120
# An agent looks at all it has each 60 to 75 s. What it does within IDLE_SECONDS is one such look on average.
IDLE_SECONDS = 67.5
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Kind:
    what: str
    seconds: int  # in which they are made
    words: tuple[str, ...]


KINDS = (
    Kind("volumes of one copy", 180, ("--nodes", NODE, "--pool", "thin")),
    Kind("mirrored volumes", 120, ("--replicas", "2", "--nodes", "n1,n2", "--pool", "thick")),
)


class Crowd:
    """The volumes there are, more and more. They stay: to delete them would take as long as to make them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.made = 0
        self._numbers = count()
        self._lock = threading.Lock()

    def make(self, kind: Kind) -> tuple[int, str]:
        """How many in its time, and what the first one that was refused was told: the pool may be full."""
        before = self.made
        deadline = time.monotonic() + kind.seconds
        refusals: list[str] = []

        def make_some(_: int) -> None:
            while time.monotonic() < deadline and not refusals:
                refusal = self.make_one(kind)
                if refusal:
                    refusals.append(refusal)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(make_some, range(AT_ONCE)))
        return self.made - before, refusals[0] if refusals else ""

    def make_one(self, kind: Kind) -> str:
        with self._lock:
            name = f"pv-lab-{next(self._numbers)}"
        made = self.cluster.plexvol(NODE, "volume", "create", name, "--size", SIZE, *kind.words, timeout=CREATE_TIMEOUT)
        if made.code != 0:
            return made.stderr.decode(errors="replace").strip()
        with self._lock:
            self.made += 1
        return ""


def is_attached(node: Node) -> list[float]:
    """Seconds of each call, as a whole process on that machine."""
    argv = [str(TOOLS / "spawn"), str(CALLS), ATTACH_DRIVER, "isattached", options(FIRST), NODE]
    return read_spawned(node.check(argv, timeout=300).stdout.decode(), CALLS)


def agents_files(node: Node) -> tuple[list[str], list[str]]:
    """stat from its third field on, and statm, of /proc/PID."""
    pid = node.read_file(AGENT_PID).decode().strip()
    stat = node.read_file(f"/proc/{pid}/stat").decode().rpartition(")")[2].split()
    return stat, node.read_file(f"/proc/{pid}/statm").decode().split()


def cpu_seconds(node: Node) -> float:
    """Of the agent, and of the tools that it ran to their end."""
    return sum(map(int, agents_files(node)[0][11:15])) / CLOCK_TICKS


def look_seconds(node: Node) -> float:
    before = cpu_seconds(node)
    time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
    return cpu_seconds(node) - before


def resident_mib(node: Node) -> float:
    return int(agents_files(node)[1][1]) * PAGE_BYTES / (1 << 20)


def measure() -> list[Line]:
    cluster = shared_cluster()
    node = cluster.node(NODE)
    crowd = Crowd(cluster)
    refusal = crowd.make_one(KINDS[0])
    assert not refusal, refusal
    cluster.driver(NODE, attach=True).must("attach", options(FIRST), NODE)
    few = is_attached(node)
    lines = []
    for kind in KINDS:
        found, refusal = crowd.make(kind)
        many, seconds, memory = is_attached(node), look_seconds(node), resident_mib(node)
        told = f"{AT_ONCE} at once" + (f"; then: {refusal}" if refusal else "")
        lines += [
            Line(f"in the lab: {kind.what} made in {kind.seconds} s", found, "volumes", detail=told),
            ratio(f"in the lab: `isattached` with {crowd.made} volumes over the same with one", many, few, most=1.5),
            Line(f"in the lab: the agent's look at {crowd.made} volumes when nothing changed", seconds, "s",
                 detail=f"processor time of the agent and its tools within {IDLE_SECONDS} s, which hold one look on "
                 f"average: {words(seconds / crowd.made)} for each volume"),
            Line(f"in the lab: resident memory with {crowd.made} volumes", memory, "MiB", most=40),
        ]  # fmt: skip
    return lines
