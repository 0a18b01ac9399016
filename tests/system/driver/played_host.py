"""A machine's / and its processes, as files: what the installer reads of a host, in any state that a test wants."""

import os
import shutil
import subprocess
from pathlib import Path

from lone_driver import BINARY

DEFAULT = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
NOBODY = 65534
NAMESPACES = ("mnt", "pid", "user")


class Host:
    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.proc = directory / "proc"
        self.root.mkdir()
        self.proc.mkdir()
        self.process(1, "/sbin/init")
        (self.proc / "1" / "mountinfo").write_text("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        self.version_1 = directory / "version-1"
        self.version_2 = directory / "version-2"
        shutil.copy(BINARY, self.version_1)
        # What follows an executable's last section makes it another file, and changes nothing of what it does.
        self.version_2.write_bytes(BINARY.read_bytes() + b"2")
        self.version_2.chmod(0o755)

    def process(self, pid: int, *words: str, uids: str = "0\t0\t0\t0", cgroup: str = "/system.slice/x.service",
                apart: tuple[str, ...] = (), program: Path = Path("/bin/true"), root: Path | None = None) -> Path:
        """`apart`: the namespaces that are not process 1's. `root`: what it has as /, where that is not the host's."""
        folder = self.proc / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        (folder / "status").write_text(f"Name:\t{Path(words[0]).name[:15]}\nState:\tS\nUid:\t{uids}\n")
        (folder / "cgroup").write_text(f"12:memory:{cgroup}\n0::{cgroup}\n")
        for kind in NAMESPACES:
            (folder / "ns" / kind).symlink_to(f"{kind}:[{pid if kind in apart else 1}]")
        (folder / "exe").symlink_to(program)
        (folder / "root").symlink_to(root or self.root)
        return folder

    def run(self, *arguments: str, program: Path | None = None) -> "subprocess.CompletedProcess[str]":
        place = ["--root", str(self.root), "--proc", str(self.proc)]
        return subprocess.run(
            [program or self.version_1, "driver", *arguments, *place], capture_output=True, text=True, timeout=60
        )

    def must(self, *arguments: str, program: Path | None = None) -> str:
        done = self.run(*arguments, program=program)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """What it says in its last line: notes may come before."""
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        *notes, last = done.stderr.splitlines()
        assert last.startswith("plexvol: ") and all(line.startswith("plexvol: note: ") for line in notes)
        return last

    def folder(self, plugin_dir: str = DEFAULT) -> Path:
        return Path(f"{self.root}{plugin_dir}/plexvol~plexvol")

    def files(self) -> set[str]:
        """All that is below its /, by name."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def give_to(self, uid: int, *paths: str) -> None:
        for path in paths:
            os.chown(f"{self.root}{path}", uid, uid, follow_symlinks=False)


class Evil:
    """A directory of somebody else's that looks like a plugin directory with a driver, and tells when that is run."""

    PATH = "/home/evil/plugins"

    def __init__(self, host: Host, path: str = PATH) -> None:
        self.path = path
        self.place = Path(f"{host.root}{path}")
        self.told = host.root / "was-run-as-root"
        self.told.parent.mkdir(parents=True, exist_ok=True)
        folder = self.place / "plexvol~plexvol"
        folder.mkdir(parents=True)
        for name in ("plexvol", ".plexvol.previous", ".plexvol.new", ".plexvol.back"):
            self.plant(folder / name)
        host.give_to(NOBODY, str(Path(path).parent), path, f"{path}/plexvol~plexvol")
        self.before = self.seen()

    def plant(self, file: Path) -> None:
        file.write_text(f"#!/bin/sh\necho $(id -u) >>{self.told}\necho '{{\"status\":\"Success\"}}'\n")
        file.chmod(0o755)
        os.chown(file, NOBODY, NOBODY)

    def seen(self) -> dict[str, object]:
        return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in self.place.rglob("*")}

    def check(self) -> None:
        assert not self.told.exists(), self.told.read_text()
        assert self.seen() == self.before
