"""A hundred calls at once: on as many volumes, and on one. What they say is held against what each should be told."""

import statistics
import time
from pathlib import Path

from lab import wait_until
from plexvol_host import NODE, Driver, Host, Reply

from .calls import machine_with_agent
from .report import Line, words

CALLS = 100
# Of the agent: its connection has one, and so has each key that it waits for: the status of a volume that is attached,
# the status and the attachment of one that is detached (agent/http/server.h, agent/store/change_hub.h).
THREADS_PER_CALL = 3


def threads_and_memory(host: Host) -> tuple[int, float]:
    """Of the agent: threads now, and the most memory that it ever had, in MB."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{host.agent_pid}/status").read_text().splitlines() if ":" in line
    )
    return int(status["Threads"]), int(status["VmHWM"].split()[0]) / 1024


class Crowd:
    """Calls made at once; all must succeed."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.at_rest = self.most_threads = threads_and_memory(host)[0]  # of the agent, as often as it was looked at

    def call(self, driver: Driver, calls: list[tuple[str | Path, ...]]) -> tuple[float, list[Reply]]:
        """Seconds until all are answered, and the answers in the calls' order."""
        wait_until(lambda: threads_and_memory(self.host)[0] == self.at_rest, 60, "no thread is left of former calls")
        begin = time.monotonic()
        running, replies = [], []
        for call in calls:
            running.append(driver.start(*call))
            self._look()
        for started in running:
            replies.append(started.wait())
            self._look()
            assert replies[-1].succeeded, replies[-1].message
        return time.monotonic() - begin, replies

    def _look(self) -> None:
        self.most_threads = max(self.most_threads, threads_and_memory(self.host)[0])


def check_mounts(host: Host, pods: dict[str, Path]) -> None:
    """Each volume, and it alone, is mounted once where its call wanted it."""
    mounts = [line.split() for line in Path(f"/proc/{host.machine.init}/mountinfo").read_text().splitlines()]
    for name, pod in pods.items():
        files = [
            Path(f"/sys/dev/block/{mount[2]}/loop/backing_file").read_text().strip()
            for mount in mounts
            if mount[4] == str(pod)
        ]
        assert files == [f"{host.pool}/{name}.img"], (name, files)


def check_answers(crowd: Crowd, asked: dict[str, str]) -> None:
    """Each call is told of its own volume: its device, and whether it is attached, which every second one is."""
    host, names = crowd.host, list(asked)
    _, replies = crowd.call(host.attaching, [("attach", asked[name], NODE) for name in names])
    assert [reply.json["device"] for reply in replies] == [host.device(name) for name in names]
    crowd.call(host.attaching, [("detach", name, NODE) for name in names[1::2]])
    _, replies = crowd.call(host.attaching, [("isattached", asked[name], NODE) for name in names])
    assert [reply.json["attached"] for reply in replies] == [True, False] * (len(names) // 2)
    crowd.call(host.attaching, [("detach", name, NODE) for name in names[::2]])


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
    with machine_with_agent() as host:
        crowd = Crowd(host)
        names = [f"pv-{number}" for number in range(CALLS)]
        asked = {name: host.options(name, size="16Mi") for name in names}
        pods = {name: host.pod_dir(name) for name in names}
        for name in names:
            host.create(name, "16Mi")
        one = statistics.median(first_mount(host, f"pv-alone-{number}") for number in range(5))

        mounts: list[tuple[str | Path, ...]] = [("mount", pods[name], asked[name]) for name in names]
        first, _ = crowd.call(host.mounting, mounts)
        check_mounts(host, pods)
        again, _ = crowd.call(host.mounting, mounts)
        same, _ = crowd.call(host.mounting, mounts[:1] * CALLS)
        check_mounts(host, pods)
        for name in names:
            host.mounting.must("unmount", pods[name])
        for name in names:
            host.wait_detached(name)
        check_answers(crowd, asked)
        _, memory = threads_and_memory(host)
    return [
        Line("100 first mounts of 100 volumes at once, per call, over one call", first / CALLS / one, "times", most=1.5,
             detail=f"{words(first)} for all, each pod has its own volume; the first of one alone {words(one)}"),
        Line("100 repeated mounts of 100 volumes at once, per call, over one call", again / CALLS / one, "times",
             most=1.0, detail=f"{words(again)} for all"),
        Line("100 mounts of one volume at once, per call, over one call", same / CALLS / one, "times", most=1.0,
             detail=f"{words(same)} for all, all answered Success, and it is mounted once"),
        Line("the agent's threads in all this, at most", crowd.most_threads, "threads",
             most=crowd.at_rest + CALLS * THREADS_PER_CALL,
             detail=f"{crowd.at_rest} at rest, to which it came back each time; a call has at most {THREADS_PER_CALL}, "
             "and 256 are served at once (`max_connections`)"),
        Line("the agent's memory in all this, at most", memory, "MB", most=40),
    ]  # fmt: skip
