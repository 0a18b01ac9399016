"""A hundred calls at once: on as many volumes, and on one."""

import statistics
import time
from pathlib import Path

from plexvol_host import Host

from .calls import machine_with_agent
from .report import Line, words

CALLS = 100


def threads_and_memory(host: Host) -> tuple[int, float]:
    """Of the agent: threads now, and the most memory that it ever had, in MB."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{host.agent_pid}/status").read_text().splitlines() if ":" in line
    )
    return int(status["Threads"]), int(status["VmHWM"].split()[0]) / 1024


def at_once(host: Host, calls: list[tuple[str | Path, ...]]) -> tuple[float, int]:
    """Seconds until all are answered, and the most threads that the agent was seen to have."""
    begin = time.monotonic()
    running = [host.mounting.start(*map(str, call)) for call in calls]
    threads = threads_and_memory(host)[0]
    for call in running:
        reply = call.wait()
        threads = max(threads, threads_and_memory(host)[0])
        assert reply.succeeded, reply.message
    return time.monotonic() - begin, threads


def first_mount(host: Host, name: str) -> float:
    """Of a new volume, alone: its file system is made."""
    host.create(name, "16Mi")
    pod = host.pod_dir(name)
    begin = time.monotonic()
    host.mounting.must("mount", pod, host.options(name))
    took = time.monotonic() - begin
    host.mounting.must("unmount", pod)
    return took


def measure() -> list[Line]:
    lines = []
    with machine_with_agent() as host:
        names = [f"pv-{number}" for number in range(CALLS)]
        asked = {name: host.options(name, size="16Mi") for name in names}
        pods = {name: host.pod_dir(name) for name in names}
        for name in names:
            host.create(name, "16Mi")
        one = statistics.median(first_mount(host, f"pv-alone-{number}") for number in range(5))

        took, threads = at_once(host, [("mount", pods[name], asked[name]) for name in names])
        again, more = at_once(host, [("mount", pods[name], asked[name]) for name in names])
        lines.append(Line("100 first mounts of 100 volumes at once, per call, over one call", took / CALLS / one, "times",
                          most=1.5, detail=f"{words(took)} for all, the first of one alone {words(one)}"))
        lines.append(Line("100 repeated mounts of 100 volumes at once, per call, over one call", again / CALLS / one,
                          "times", most=1.0, detail=f"{words(again)} for all"))
        same, most = at_once(host, [("mount", pods["pv-0"], asked["pv-0"])] * CALLS)
        lines.append(Line("100 mounts of one volume at once, per call, over one call", same / CALLS / one, "times",
                          most=1.0, detail=f"{words(same)} for all, all answered Success"))
        _, memory = threads_and_memory(host)
        lines.append(Line("the agent's memory in all this, at most", memory, "MB", most=40,
                          detail=f"{max(threads, more, most)} threads seen at most"))
        for name in names:
            host.mounting.must("unmount", pods[name])
    return lines
