"""Machines as far as processes, mounts, the network and cgroups go. All that they start ends with this process."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab import LabError

from .cgroups import Cgroups
from .keeper import NAMESPACES

_FOLDER = Path(__file__).resolve().parents[1]  # of the package
_STOP_SECONDS = 60


class Machine:
    def __init__(self, name: str, init: int, folder: Path, cgroups: Cgroups) -> None:
        self.name = name
        self.folder = folder  # its own, by the name that all machines have for it
        self._init = init
        self._cgroups = cgroups
        self._services: dict[str, subprocess.Popen[str]] = {}
        self.see(folder / "log").mkdir()

    @property
    def init(self) -> int:
        return self._init

    def see(self, path: str | Path) -> Path:
        """This path of the machine, for this side to read and write."""
        return Path(f"/proc/{self._init}/root{path}")

    def enter(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs this one on the machine, but in the cgroups of who runs it."""
        return ["nsenter", "--target", str(self._init), *NAMESPACES, "--", *map(str, argv)]

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs this one on the machine."""
        return [*self._cgroups.later(self.name), *self.enter(argv)]

    def run(self, *argv: str | Path, timeout: float = 60, stdin: str = "") -> str:
        """Must succeed; returns its output."""
        done = self.ask(*argv, timeout=timeout, stdin=stdin)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(map(str, argv))}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, *argv: str | Path, timeout: float = 60, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.inside(argv), input=stdin, capture_output=True, text=True, timeout=timeout)

    def start(self, service: str, argv: Sequence[str | Path]) -> None:
        with self.log_path(service).open("a") as log:
            self._services[service] = subprocess.Popen(
                self.inside(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True
            )

    def is_running(self, service: str) -> bool:
        return service in self._services and self._services[service].poll() is None

    def stop(self, service: str, number: int = signal.SIGTERM) -> None:
        """And waits until it has ended."""
        pids = self._pids(service)
        process = self._services.pop(service)
        for pid in pids:
            os.kill(pid, number)
        process.wait(timeout=_STOP_SECONDS)

    def pid(self, service: str) -> int:
        """As this side sees it."""
        [pid] = self._pids(service)
        return pid

    def _pids(self, service: str) -> list[int]:
        """nsenter waits for its child, which is the service; none when that has ended."""
        nsenter = self._services[service].pid
        return [int(pid) for pid in Path(f"/proc/{nsenter}/task/{nsenter}/children").read_text().split()]

    def processes(self) -> set[str]:
        """The names of all that run, those of containers among them."""
        return {path.read_text().strip() for path in self.see("/proc").glob("[0-9]*/comm")}

    def mounts(self) -> list[str]:
        """Where something is mounted."""
        return [line.split(" ")[4] for line in Path(f"/proc/{self._init}/mountinfo").read_text().splitlines()]

    def log_path(self, service: str) -> Path:
        return self.see(self.folder / "log" / service)

    def logs(self) -> dict[str, str]:
        paths = sorted(self.see(self.folder / "log").iterdir())
        return {path.name: path.read_text(errors="replace") for path in paths}


class Machines:
    """`with Machines("control", "node-1") as machines:`. At the end nothing is left, whatever state they are in."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._keeper: subprocess.Popen[str] | None = None
        self.all: dict[str, Machine] = {}

    def __enter__(self) -> "Machines":
        # Not below a folder that machines write to: they put something over it.
        self.folder = Path(tempfile.mkdtemp(prefix="plexvol-kubernetes-", dir="/tmp"))
        unshare = ["unshare", "--mount", "--propagation", "private"]
        self._keeper = subprocess.Popen(
            [*unshare, sys.executable, "-B", "-m", "kube.keeper", str(self.folder), *self._names],
            cwd=_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        cgroups = Cgroups(self.folder.name)
        try:
            while (line := self._read_line()) != "up\n":
                name, init = line.split()
                self.all[name] = Machine(name, int(init), self.folder / name, cgroups)
        except BaseException:
            self._end()
            raise
        return self

    def _read_line(self) -> str:
        assert self._keeper is not None and self._keeper.stdout is not None and self._keeper.stderr is not None
        line = self._keeper.stdout.readline()
        if not line:
            raise LabError(f"no machines: {self._keeper.stderr.read().strip()}")
        return line

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """The keeper does it, also when this process is killed before."""
        assert self._keeper is not None
        _, said = self._keeper.communicate()
        if self._keeper.returncode != 0:
            raise LabError(said.strip())
