"""Ten, a hundred, a thousand volumes on one node: what a call, a start and doing nothing cost."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from plexvol_host import NODE, Host

from .calls import machine_with_agent, spawn
from .report import Line, ratio, spread, words

COUNTS = (10, 100, 1000)
CALLS = 60
IDLE_SECONDS = 75  # an agent looks at all it has every 60 to 75 s
AT_ONCE = 4


def resident_mib(host: Host) -> float:
    pages = int(Path(f"/proc/{host.agent_pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_seconds(host: Host) -> float:
    """Of the agent and of the tools that it ran to their end."""
    fields = Path(f"/proc/{host.agent_pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


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
        memory = resident_mib(host)
        before = cpu_seconds(host)
        time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
        idle = (cpu_seconds(host) - before) / IDLE_SECONDS * 100
        host.attaching.must("detach", "pv-0", NODE)
    most = COUNTS[-1]
    told = ", ".join(f"{count}: {spread(found)}" for count, found in calls.items())
    flat = ratio(f"`isattached` with {most} volumes over the same with {COUNTS[0]}", calls[most], calls[COUNTS[0]],
                 most=1.5)
    flat.detail = told
    return [
        flat,
        Line(f"the agent's start with {most} volumes, until a call is answered", starts[most], "s", most=3,
             detail=", ".join(f"{count}: {words(took)}" for count, took in starts.items())),
        Line(f"resident memory with {most} volumes", memory, "MiB", most=40),
        Line(f"idle, with {most} volumes", idle, "% of a processor", most=1, detail=f"over {IDLE_SECONDS} s"),
    ]
