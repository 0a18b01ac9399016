"""A folder in every cgroup hierarchy for all machines of a cluster, and one in it for each of them."""

import contextlib
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# In version 2 a cgroup whose controllers are passed on has no process of its own: these hold a machine's services.
LEAF = "init"
_CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class Cgroups:
    """A machine sees its own folder as the whole hierarchy, since its process 1 has a cgroup namespace."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_unified = (ROOT / "cgroup.controllers").exists()
        version_1 = [path.parent for path in sorted(ROOT.glob("*/cgroup.clone_children"))]
        # "cpu" may be a link to "cpu,cpuacct", which is one hierarchy.
        self._tops = [ROOT] if self._is_unified else [top for top in version_1 if not top.is_symlink()]

    @classmethod
    def find_missing(cls) -> set[str]:
        """The controllers that pods need and this machine does not pass on."""
        probe = cls(f"plexvol-probe-{os.getpid()}")
        try:
            probe.make("one")
            if not probe._is_unified:
                return _CONTROLLERS - {name for top in probe._tops for name in top.name.split(",")}
            [folder] = probe._folders("one")
            return _CONTROLLERS - set((folder / "cgroup.controllers").read_text().split())
        except OSError:
            return _CONTROLLERS
        finally:
            probe.remove()

    @property
    def hierarchies(self) -> list[str]:
        """As words for init.sh: "cgroup2", or "FOLDER=MOUNT OPTIONS" for each of version 1."""
        if self._is_unified:
            return ["cgroup2"]
        return [f"{top.name}={'none,name=' if top.name == 'systemd' else ''}{top.name}" for top in self._tops]

    def make(self, machine: str) -> None:
        for folder in self._folders(machine):
            for one in (folder.parent, folder):
                one.mkdir(exist_ok=True)
                self._prepare(one)
            if self._is_unified:
                (folder / LEAF).mkdir()

    def first(self, machine: str) -> list[str]:
        """The beginning of a command line: process 1 joins the machine's cgroups, and then runs the rest."""
        return self._joining(self._folders(machine))

    def later(self, machine: str) -> list[str]:
        """The same for all others."""
        return self._joining([folder / LEAF if self._is_unified else folder for folder in self._folders(machine)])

    def leave_top(self, machine: str, pid: int) -> None:
        """For who ran the command line of process 1."""
        if self._is_unified:
            (self._folders(machine)[0] / LEAF / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[str]:
        found = set()
        for folder in self._all():
            with contextlib.suppress(OSError):
                found |= set((folder / "cgroup.procs").read_text().split())
        return sorted(found)

    def remove(self) -> list[str]:
        """Those that are left: the kernel keeps one for a moment after its last process."""
        for folder in sorted(self._all(), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return [str(folder) for folder in self._all()]

    def _folders(self, machine: str) -> list[Path]:
        return [top / self._name / machine for top in self._tops]

    def _all(self) -> list[Path]:
        return [Path(folder) for top in self._tops for folder, _, _ in os.walk(top / self._name)]

    @staticmethod
    def _joining(folders: list[Path]) -> list[str]:
        return ["sh", "-c", _JOIN, "sh", *(str(folder / "cgroup.procs") for folder in folders), "--"]

    def _prepare(self, folder: Path) -> None:
        """What a new cgroup has not by itself."""
        if self._is_unified:
            for controller in (folder.parent / "cgroup.controllers").read_text().split():
                with contextlib.suppress(OSError):  # one that this kernel passes on to none
                    (folder.parent / "cgroup.subtree_control").write_text(f"+{controller}")
            return
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists():
                (folder / name).write_text((folder.parent / name).read_text())
