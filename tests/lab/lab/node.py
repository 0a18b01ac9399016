"""A machine of the lab as its user sees it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from .client import Command, CommandRequest, request
from .errors import CommandFailed, LabError, Result
from .machine import console_path
from .paths import GUEST_SOURCE

BOOT_TIMEOUT = 120.0
# Under emulation a plain LVM command takes half a second, and the host may be busy: be generous, hangs are rare.
COMMAND_TIMEOUT = 60.0


class Node:
    """Runs commands in one machine, and switches it on and off."""

    def __init__(self, directory: Path, number: int) -> None:
        self._directory = directory
        self.number = number
        self.name = f"n{number}"
        self.address = f"10.77.0.{number}"
        self.console_path = console_path(directory, self.name)
        self.etcd_url = f"http://{self.address}:2379"

    def __repr__(self) -> str:
        return f"Node({self.name})"

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Command:
        """Starts a command without waiting for it. `env` is added to the machine's environment."""
        return Command(self._directory, self.name, CommandRequest(argv, env, stdin))

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = COMMAND_TIMEOUT,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Result:
        """Runs a command to its end, whatever its exit code."""
        return self.popen(argv, env=env, stdin=stdin).wait(timeout)

    def check(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = COMMAND_TIMEOUT,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Result:
        """Runs a command that must succeed: CommandFailed otherwise, with all it said."""
        result = self.run(argv, timeout=timeout, env=env, stdin=stdin)
        if result.code != 0:
            raise CommandFailed(self.name, argv, f"exit code {result.code}", result)
        return result

    def sh(self, script: str, *, timeout: float | None = COMMAND_TIMEOUT) -> Result:
        """Runs a shell script that must succeed; it stops at the first command that fails."""
        return self.check(["sh", "-ec", script], timeout=timeout)

    def write_file(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Writes a file, making the folders above it."""
        data = content.encode() if isinstance(content, str) else content
        quoted = shlex.quote(path)
        self.check(["sh", "-ec", f"mkdir -p $(dirname {quoted}); cat >{quoted}; chmod {mode:o} {quoted}"], stdin=data)

    def read_file(self, path: str) -> bytes:
        return self.check(["cat", path]).stdout

    def power_off(self) -> None:
        """A power loss: the machine just ends. Its disks stay."""
        request(self._directory, "power-off", node=self.name)

    def power_on(self, wait: bool = True) -> None:
        """Boots the machine. Services that were started in it come back by themselves."""
        request(self._directory, "power-on", node=self.name)
        if wait:
            self.wait_ready()

    def pause(self) -> None:
        """Lets the machine hang until `resume`: no answers, no packets, and no idea of it afterwards."""
        request(self._directory, "pause", node=self.name)

    def resume(self) -> None:
        request(self._directory, "resume", node=self.name)

    def wait_ready(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Waits until it takes commands; raises with the end of its console when it does not get there."""
        request(self._directory, "wait-ready", node=self.name, timeout=timeout)

    @property
    def state(self) -> str:
        """off, booting, ready or paused."""
        for node in request(self._directory, "status")["nodes"]:
            if node["name"] == self.name:
                return str(node["state"])
        raise LabError(f"no node {self.name}")

    def start_service(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Starts a program that runs in the background, now and after every boot, until stop_service.

        Nobody restarts it when it ends by itself or is killed. What it prints is added to service_log_path(name).
        """
        words = ["exec", "env", *(f"{key}={value}" for key, value in (env or {}).items()), *argv]
        self.write_file(f"/persist/service/{name}", shlex.join(words) + "\n")
        self._sync_persist()
        self._service("start", name)

    def stop_service(self, name: str) -> None:
        """Ends a service in the polite way and for good."""
        self.check(["rm", "-f", f"/persist/service/{name}"])
        self._sync_persist()
        self._service("end", name, "TERM")

    def kill_service(self, name: str) -> None:
        """Ends a service as a crash would. It comes back at the next boot, or by resume_service."""
        self._service("end", name, "KILL")

    def resume_service(self, name: str) -> None:
        """Starts a service that was killed again, as it was started before."""
        self._service("start", name)

    @staticmethod
    def service_log_path(name: str) -> str:
        """What the service printed, over all its lives. In the machine: use read_file."""
        return f"/persist/log/{name}.log"

    def _sync_persist(self) -> None:
        """Only this one file system: a sync of all would wait for a frozen DRBD device."""
        self.check(["sync", "-f", "/persist"])

    def _service(self, *arguments: str) -> None:
        self.check(["/bin/busybox", "sh", str(GUEST_SOURCE / "service.sh"), *arguments])
