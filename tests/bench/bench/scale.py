"""The store at scale: real agents without disks, 100 copies of volumes on each, against one real etcd on this machine.

What an agent asks of its tools is answered at once, as on a healthy node where nothing happens (tests/bench/scale). All
figures are etcd's own counts. The small clusters run at the same time, the large one alone.
"""

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .calls import TOOLS
from .etcd import DIES_WITH_US, Etcd, Sample, resident_mib
from .report import Line, words

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = TOOLS / "scale"
SMALL = (10, 100)
LARGE = 1000
AGENTS_PER_PROCESS = 100

# An agent looks at all it has at its start, and again after 60 to 75 s. So, seen from the start of the first agent,
# there is quiet for the changes once all have looked. Within IDLE_SECONDS from IDLE_FROM on each looks once more, as
# it does in any such time on average. Then there is quiet for the restart, until 120.
IDLE_FROM = 30
IDLE_SECONDS = 67.5
LOOK_LIMIT = 90
QUIET_LIMIT = 45
AWAY_SECONDS = 3
HERD_SECONDS = 10
LEASE_SECONDS = 8  # the agent's default
CHANGE_SECONDS = 8


@dataclass
class Found:
    """Of one cluster. Requests and bytes are for each agent, and by the second."""

    agents: int
    looked: float = 0  # seconds until all agents have looked at all
    change_requests: float = 0  # for one volume
    change_messages: float = 0
    requests: float = 0
    methods: dict[str, float] = field(default_factory=dict)
    sent: float = 0
    agent_mib: float = 0
    etcd_mib: float = 0
    processes: int = 0
    threads: int = 0
    cordon: float = 0  # requests until there is quiet again
    etcd_start: float = 0
    back: float = 0
    herd: float = 0  # requests in HERD_SECONDS
    peak: float = 0  # requests by the second, of all


class NotAtRest(Exception):
    """One etcd, or this machine, is not enough for so many."""


class Cluster:
    def __init__(self, etcd: Etcd, agents: int) -> None:
        self.etcd, self.agents = etcd, agents
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, verb: str, *more: object) -> None:
        subprocess.run([PROGRAM, verb, self.etcd.endpoint, str(self.agents), *map(str, more)], check=True)

    def start_agents(self) -> None:
        for first in range(0, self.agents, AGENTS_PER_PROCESS):
            end = min(first + AGENTS_PER_PROCESS, self.agents)
            argv = [PROGRAM, "run", self.etcd.endpoint, self.agents, first, end, self.etcd.directory / "agents"]
            self.processes.append(subprocess.Popen([*DIES_WITH_US, *map(str, argv)], stdout=subprocess.PIPE))

    def await_looks(self) -> None:
        deadline = time.monotonic() + LOOK_LIMIT
        for process in self.processes:
            ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise NotAtRest(f"not all of {self.agents} agents have looked at all they have within {LOOK_LIMIT} s")
            assert process.stdout.readline() == b"looked\n", "the agents' process has ended"

    def is_quiet(self) -> bool:
        before = self.etcd.sample().requests()
        time.sleep(1)
        return self.etcd.sample().requests() - before < self.agents

    def await_quiet(self) -> None:
        deadline = time.monotonic() + QUIET_LIMIT
        while not self.is_quiet():
            if time.monotonic() > deadline:
                raise NotAtRest(f"{self.agents} agents give etcd no rest")

    def alive(self) -> int:
        return self.etcd.count("/plexvol/alive/")

    def threads(self) -> int:
        return sum(len(list(Path(f"/proc/{process.pid}/task").iterdir())) for process in self.processes)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@contextmanager
def filled_cluster(agents: int) -> Iterator[Cluster]:
    with Etcd() as etcd:
        cluster = Cluster(etcd, agents)
        cluster.run("fill")
        try:
            yield cluster
        finally:
            cluster.stop()


def measure_size(agents: int) -> Found:
    found = Found(agents)
    with filled_cluster(agents) as cluster:
        puts = cluster.etcd.sample().puts()
        begin = time.monotonic()
        cluster.start_agents()
        cluster.await_looks()
        found.looked = time.monotonic() - begin
        cluster.await_quiet()
        # That it lives. More would be the status of a volume that is not as the simulation means it to be.
        written = cluster.etcd.sample().puts() - puts
        assert written < 2 * agents, f"{agents} agents at rest have written {written:.0f} keys"
        measure_changes(cluster, found)
        time.sleep(max(0, begin + IDLE_FROM - time.monotonic()))
        measure_idle(cluster, found)
        cluster.await_quiet()
        measure_cordon(cluster, found)
        measure_restart(cluster, found)
    return found


def measure_changes(cluster: Cluster, found: Found) -> None:
    # The same number of each kind of volume (each node begins 85), and not few beside what so many agents ask anyway.
    changes = 85 * (2 + cluster.agents // 100)
    deadline = time.monotonic() + QUIET_LIMIT
    while True:
        quiet = cluster.etcd.sample()
        time.sleep(CHANGE_SECONDS + 2)
        before = cluster.etcd.sample()
        cluster.run("change", changes, CHANGE_SECONDS)
        time.sleep(2)  # for the last ones to be looked at
        after = cluster.etcd.sample()
        if cluster.is_quiet() or time.monotonic() > deadline:
            break
        cluster.await_quiet()  # agents began to look at all they have, which must not be taken for work of the changes

    def beyond_quiet(count: Callable[[Sample], float]) -> float:
        first, second, third = (count(sample) for sample in (quiet, before, after))
        idle = (second - first) / (before.when - quiet.when)
        return (third - second - idle * (after.when - before.when)) / changes

    # Leases are kept in bursts, 5 s apart, of all that started at once: in one of the two windows there may be one
    # burst more, and no change has a part in it.
    found.change_requests = beyond_quiet(lambda sample: sample.requests() - sample.requests("LeaseKeepAlive"))
    found.change_messages = beyond_quiet(Sample.watch_messages)


def measure_idle(cluster: Cluster, found: Found) -> None:
    before = cluster.etcd.sample()
    time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
    after = cluster.etcd.sample()
    share = cluster.agents * (after.when - before.when)
    found.requests = (after.requests() - before.requests()) / share
    found.sent = (after.bytes_sent() - before.bytes_sent()) / share
    for method in after.methods():
        found.methods[method] = (after.requests(method) - before.requests(method)) / share
    found.processes = len(cluster.processes)
    found.threads = cluster.threads()
    found.agent_mib = sum(resident_mib(process.pid) for process in cluster.processes) / cluster.agents
    found.etcd_mib = resident_mib(cluster.etcd.pid)


def measure_cordon(cluster: Cluster, found: Found) -> None:
    before = cluster.etcd.sample()
    cluster.run("cordon")
    cluster.await_quiet()
    found.cordon = (cluster.etcd.sample().requests() - before.requests()) / cluster.agents


def measure_restart(cluster: Cluster, found: Found) -> None:
    watches = cluster.etcd.sample().watches()
    cluster.etcd.stop()
    time.sleep(AWAY_SECONDS)
    begin = time.monotonic()
    cluster.etcd.start()
    up = time.monotonic()
    found.etcd_start = up - begin
    # In a new etcd all counts begin at 0.
    samples = [Sample(begin, {})]
    while samples[-1].when < up + HERD_SECONDS:
        samples.append(cluster.etcd.sample())
        is_back = samples[-1].watches() >= watches and samples[-1].requests("LeaseKeepAlive") >= cluster.agents
        if is_back and not found.back:
            found.back = samples[-1].when - up
        time.sleep(0.5)
    found.back = found.back or HERD_SECONDS + 1  # later
    found.herd = samples[-1].requests() / cluster.agents
    found.peak = max(
        (later.requests() - sooner.requests()) / (later.when - sooner.when)
        for sooner, later in zip(samples, samples[1:])
    )
    time.sleep(max(0, up + LEASE_SECONDS + 1 - time.monotonic()))
    assert cluster.alive() == cluster.agents, f"etcd has given up {cluster.agents - cluster.alive()} agents"


def build() -> None:
    """By a make of its own: the one that may have started us is not waiting for jobs of ours."""
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    target = PROGRAM.relative_to(ROOT)
    subprocess.run(["make", "--no-print-directory", "-C", ROOT, target], check=True, env=environment)


def measure() -> list[Line]:
    build()
    with ThreadPoolExecutor(len(SMALL)) as threads:
        found = list(threads.map(measure_size, SMALL))
    why = ""
    try:
        found.append(measure_size(LARGE))
    except NotAtRest as error:
        why = str(error)
    return [
        Line("the largest cluster that came to rest", found[-1].agents, "agents", least=LARGE, detail=why),
        *lines_of(found),
    ]


def lines_of(found: list[Found]) -> list[Line]:
    few, many = found[0], found[-1]

    def flat(what: str, figure: str, unit: str, more: str = "") -> Line:
        of_each = {each.agents: getattr(each, figure) for each in found}
        told = ", ".join(f"{agents}: {value:.3g}" for agents, value in of_each.items())
        ratio = of_each[many.agents] / of_each[few.agents]
        samples = {str(agents): [value] for agents, value in of_each.items()}
        return Line(f"{what}, {many.agents} agents over {few.agents}", ratio, "times", most=1.2,
                    detail=f"{told} {unit}{more}", samples=samples)  # fmt: skip

    methods = sorted(many.methods.items(), key=lambda entry: -entry[1])
    asked = ", ".join(f"{method} {rate:.2g}" for method, rate in methods if rate >= 0.005)
    back = ", ".join(f"{each.agents}: {words(each.back)} and {each.herd:.3g} requests" for each in found)
    return [
        flat("an idle agent: requests", "requests", "a second", f"; of {many.agents}: {asked}"),
        flat("an idle agent: bytes it is sent", "sent", "a second"),
        flat("a volume is changed: requests of all agents", "change_requests", "with the 2 of who changes it"),
        flat("a volume is changed: messages to all watches", "change_messages", "messages"),
        Line(f"one node is cordoned: requests of each of {many.agents} agents", many.cordon, "requests", most=20,
             detail=", ".join(f"{each.agents}: {each.cordon:.3g}" for each in found)),
        Line(f"memory of one of {many.agents} agents", many.agent_mib, "MiB",
             detail=f"{many.processes} processes with {many.threads} threads; all have looked at all after "
             f"{words(many.looked)}"),
        Line(f"memory of etcd with {many.agents} agents", many.etcd_mib, "MiB",
             detail=", ".join(f"{each.agents}: {each.etcd_mib:.3g}" for each in found)),
        Line(f"etcd comes back to {many.agents} agents: until all have their watches and leases again", many.back, "s",
             most=HERD_SECONDS, detail=f"{back} of each agent in {HERD_SECONDS} s; of all at most {many.peak:.3g} a "
             f"second; etcd itself started in {words(many.etcd_start)}"),
    ]  # fmt: skip
