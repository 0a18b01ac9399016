"""Ten, a hundred, a thousand volumes on one node: what a call, a look at a volume, a start and doing nothing cost."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import wait_until
from plexvol_host import NODE, Host

from .calls import machine_with_agent, spawn
from .report import Line, ratio, spread, words

COUNTS = (10, 100, 1000)
CALLS = 60
IDLE_SECONDS = 75  # an agent looks at all it has every 60 to 75 s
AT_ONCE = 4
# An agent looks at all it has four times within rebuild_seconds, which on a node of its own mean nothing else. So the
# passes of some patrols need not be waited for: one comes each 1 to 1.25 s.
OFTEN = {"rebuild_seconds": 4}
OFTEN_SECONDS = 1.125
PASSES_SECONDS = 10


def resident_mib(host: Host) -> float:
    pages = int(Path(f"/proc/{host.agent_pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_seconds(host: Host) -> float:
    """Of the agent, and of the tools that it ran to their end."""
    pid = host.agent_pid
    own = time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) answers: finer than what /proc tells
    tools = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    return own + sum(map(int, tools)) / os.sysconf("SC_CLK_TCK")


def await_rest(host: Host) -> None:
    """Until it has looked at all it has, as it does at its start: no part of what doing nothing costs."""

    def rests() -> bool:
        before = cpu_seconds(host)
        time.sleep(0.25)
        return cpu_seconds(host) - before < 0.001

    wait_until(rests, 120, "the agent rests")


def cpu_seconds_within(host: Host, seconds: float) -> float:
    await_rest(host)
    before = cpu_seconds(host)
    time.sleep(seconds)  # what is measured is that nothing happens
    return cpu_seconds(host) - before


def pass_seconds(host: Host, count: int) -> float:
    host.reconfigure(**OFTEN)
    passes = count * PASSES_SECONDS / OFTEN_SECONDS
    took = cpu_seconds_within(host, PASSES_SECONDS) / passes
    host.reconfigure()
    return took


def start_seconds(host: Host, asked: str) -> float:
    """From its start until a call is answered."""
    host.stop()
    begin = time.monotonic()
    host.start()
    host.attaching.must("isattached", asked, NODE)
    return time.monotonic() - begin


def create(host: Host, names: list[str]) -> None:
    def create_some(some: list[str]) -> None:
        connection = host.connect()
        for name in some:
            reply = connection.post("volume/create", {"name": name, "size": "16Mi", "replicas": 1})
            assert "error" not in reply, reply

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(create_some, [names[first::AT_ONCE] for first in range(AT_ONCE)]))


def measure() -> list[Line]:
    calls: dict[int, list[float]] = {}
    starts: dict[int, float] = {}
    passes: dict[int, float] = {}
    with machine_with_agent() as host:
        asked = host.options("pv-0")
        made = 0
        for count in COUNTS:
            create(host, [f"pv-{number}" for number in range(made, count)])
            made = count
            if count == COUNTS[0]:
                host.attaching.must("attach", asked, NODE)
            calls[count] = spawn(host, CALLS, host.attaching.path, "isattached", asked, NODE)
            starts[count] = start_seconds(host, asked)
            passes[count] = pass_seconds(host, count)
        idle = cpu_seconds_within(host, IDLE_SECONDS) / IDLE_SECONDS * 100
        memory = resident_mib(host)
        host.attaching.must("detach", "pv-0", NODE)
    most = COUNTS[-1]
    told = ", ".join(f"{count}: {spread(found)}" for count, found in calls.items())
    flat = ratio(f"`isattached` with {most} volumes over the same with {COUNTS[0]}", calls[most], calls[COUNTS[0]],
                 most=1.5)
    flat.detail = told
    of_each = ", ".join(f"{count}: {words(took)}" for count, took in passes.items())
    return [
        flat,
        Line(f"a reconcile pass when nothing changed, with {most} volumes", passes[most] * 1e6, "us",
             detail=f"{of_each}; the agent's and its tools' whole processor time within {PASSES_SECONDS} s over the "
             f"passes in them: here a patrol comes each {OFTEN_SECONDS} s on average, else 67.5",
             samples={str(count): [took] for count, took in passes.items()}),
        Line(f"the agent's start with {most} volumes, until a call is answered", starts[most], "s", most=3,
             detail=", ".join(f"{count}: {words(took)}" for count, took in starts.items())),
        Line(f"resident memory with {most} volumes", memory, "MiB", most=40),
        Line(f"idle, with {most} volumes", idle, "% of a processor", most=1, detail=f"over {IDLE_SECONDS} s"),
    ]
