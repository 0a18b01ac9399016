"""A machine as far as processes, mounts and the network go: namespaces of their own, and an init that ends with us.

The agent asks process 1 what is mounted, so the tests bring a process 1 along. Nothing that a test or a broken driver mounts
or starts is ever seen by the host, and all of it goes when the machine does. Files and block devices are the host's.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import wait_until

# Shared propagation and a fresh /run, as systemd sets them up. Reads until its caller is gone; a shell, since somebody must reap orphans.
_INIT = "mount --make-rshared / && mount -t tmpfs -o mode=755 run /run && echo up && read -r _"


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state_of(pid: int) -> str:
    """The letter of /proc/PID/stat; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Machine:
    """Processes are named by the pids that this side sees."""

    def __init__(self) -> None:
        self._entered: list[subprocess.Popen[str]] = []
        self._start()

    def _start(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"]
            + ["bash", "-c", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        line = self._holder.stdout.readline()
        if line != "up\n":
            self.power_off()
            raise RuntimeError("no namespaces of our own: the tests need root with all its capabilities")
        self.init = children_of(self._holder.pid)[0]

    def power_off(self) -> None:
        """All processes are killed, all mounts are gone: the kernel does that when init ends."""
        for process in self._entered:
            # The kernel waits for those to be reaped that were started from outside.
            process.send_signal(signal.SIGCONT)
        self._entered.clear()
        self._holder.communicate(timeout=60)

    def power_on(self) -> None:
        self._start()

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs this one on the machine."""
        enter = ["nsenter", "--target", str(self.init), "--mount", "--pid", "--net", "--uts", "--"]
        return enter + [str(word) for word in argv]

    def popen(self, argv: Sequence[str | Path], **how: Any) -> "subprocess.Popen[str]":
        how.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.inside(argv), text=True, **how)
        self._entered = [other for other in self._entered if other.poll() is None] + [process]
        return process

    def run(self, *argv: str | Path, timeout: float = 60) -> str:
        """Must succeed; answers what it said."""
        done = subprocess.run(
            self.inside(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}"
        return done.stdout

    def started_by(self, process: "subprocess.Popen[str]") -> int:
        """The pid of what popen() runs, which is a child of the process that entered the namespaces for it."""
        return self._children(process)[0]

    @staticmethod
    def _children(process: "subprocess.Popen[str]") -> list[int]:
        """Once there is one; none when it has ended."""

        def started() -> bool:
            return bool(children_of(process.pid)) or process.poll() is not None

        wait_until(started, 120, "the process is started", interval=0.001)
        return children_of(process.pid)

    def pause(self, process: "subprocess.Popen[str]") -> bool:
        """SIGSTOP, and seen to be stopped. False: it ended before."""
        for pid in self._children(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

        def settled() -> bool:
            # The process that entered the namespaces stops itself when it sees its child stopped.
            return state_of(process.pid) == "T" or process.poll() is not None

        wait_until(settled, 120, "the process is stopped", interval=0.001)
        return process.poll() is None

    @staticmethod
    def resume(process: "subprocess.Popen[str]") -> None:
        """It wakes its child when it is woken."""
        process.send_signal(signal.SIGCONT)

    def see(self, path: str | Path) -> Path:
        """This path of the machine, with the machine's mounts on the way, for this side to read and write."""
        return Path(f"/proc/{self.init}/root{path}")

    def mounts(self, below: Path) -> list[str]:
        """Mount points under a directory, oldest first."""
        # Split as the kernel joins them: paths may hold any other white space.
        lines = Path(f"/proc/{self.init}/mountinfo").read_bytes().decode(errors="replace").split("\n")[:-1]
        points = [line.split(" ")[4].replace("\\040", " ") for line in lines]
        return [point for point in points if point.startswith(f"{below}/")]

    def processes(self) -> dict[int, str]:
        """All that live in it but for its init and zombies: pid and command line."""
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == self.init:
                continue
            try:
                if os.readlink(folder / "ns/pid") == own and state_of(int(folder.name)) != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # gone, or not ours to look at
                continue
        return found
