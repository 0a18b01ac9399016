"""A genuine containerd on the machine of a test, and the sandboxes of pods in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from lab import wait_until
from plexvol_host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))

from containerd import SANDBOX, containerd_config, pause_image  # noqa: E402

PYTHON = "/usr/bin/python3"
CGROUPS = Path("/sys/fs/cgroup")
# Of the machine, not of the host around it, like all that is in /run there.
STATE = "/run/containerd"
SOCKET = Path("/run/containerd/containerd.sock")


class PodRuntime:
    """At the socket where an agent looks by default. Its cgroups are below a folder of its own."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._folder = host.directory / "containerd"
        self._cgroup = f"{host.directory.name}-pods"
        self._process: subprocess.Popen[str] | None = None
        self._folder.mkdir()
        (self._folder / "pause.tar").write_bytes(pause_image())
        config = containerd_config(str(self._folder / "root"), STATE, str(SOCKET))
        (self._folder / "config.toml").write_text(config)

    def start(self) -> None:
        with (self._folder / "log").open("a") as log:
            argv = ["containerd", "--config", self._folder / "config.toml"]
            self._process = self._host.machine.popen(argv, stdout=log, stderr=subprocess.STDOUT)

        def answers() -> bool:
            with contextlib.suppress(AssertionError):
                self.sandboxes("none")
                return True
            return False

        wait_until(answers, 60, "containerd answers")

    def _import_image(self) -> None:
        words = ["--address", SOCKET, "--namespace", "k8s.io", "images", "import", "--snapshotter", "native"]
        self._host.machine.run("ctr", *words, self._folder / "pause.tar")

    def run(self, uid: str, name: str = "db-0", *, in_pods_cgroup: bool = False) -> str:
        """A ready sandbox; its id. Its process is in the pod's cgroup, as of most runtimes, or not, as of CRI-O, where
        it needs none."""
        self._import_image()
        parent = f"/{self._cgroup}/{f'pod{uid}' if in_pods_cgroup else 'none'}"
        return self._ask("run", uid, name, parent).strip()

    def remove(self, sandbox: str) -> None:
        self._ask("remove", sandbox)

    def sandboxes(self, uid: str) -> list[str]:
        return self._ask("list", uid).splitlines()

    def end_process_of(self, sandbox: str, uid: str) -> None:
        """As when a node runs out of memory: the sandbox is stopped, but not removed."""
        self._kill([folder for folder in self._cgroups() if folder.name == sandbox])
        wait_until(lambda: self.sandboxes(uid) == [f"{sandbox} stopped"], 60, "the sandbox is stopped")

    def _ask(self, *words: str) -> str:
        return self._host.machine.run(PYTHON, "-B", SANDBOX, SOCKET, *words)

    def pause(self) -> None:
        """It hangs: its socket takes connections, and nobody answers."""
        assert self._process is not None and self._host.machine.pause(self._process)

    def resume(self) -> None:
        assert self._process is not None
        self._host.machine.resume(self._process)

    def stop(self) -> None:
        """It ends; sandboxes and its socket's file stay."""
        if self._process is None:
            return
        os.kill(self._host.machine.started_by(self._process), signal.SIGKILL)
        self.resume()  # when it was paused
        self._process.wait(timeout=60)
        self._process = None

    def forget_socket(self) -> None:
        """As on a node that never had a runtime."""
        self._host.see(SOCKET).unlink()

    def destroy(self) -> None:
        """Whatever state it is in: the processes of sandboxes, too."""
        self.stop()
        self._kill(self._cgroups())
        for pid, command in self._host.machine.processes().items():
            if "containerd-shim" in command:
                os.kill(pid, signal.SIGKILL)

        def removed() -> bool:
            for folder in sorted(self._cgroups(), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            return not self._cgroups()

        wait_until(removed, 60, "the pods' cgroups are gone")
        shutil.rmtree(self._folder)

    def _cgroups(self) -> list[Path]:
        """In every hierarchy."""
        return [*CGROUPS.glob(f"{self._cgroup}/**/"), *CGROUPS.glob(f"*/{self._cgroup}/**/")]

    @staticmethod
    def _kill(cgroups: list[Path]) -> None:
        """A sandbox's process has a pid namespace of its own: it is none of the machine's."""
        for pid in {int(pid) for cgroup in cgroups for pid in (cgroup / "cgroup.procs").read_text().split()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
