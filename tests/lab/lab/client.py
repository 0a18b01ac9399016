"""The client's side of a running lab: asking its supervisor, and running commands in its machines."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import frames, rundir
from .errors import CommandTimeout, LabError, MachineLost, Result

READ_SIZE = 1 << 18
STDIN_CHUNK = 1 << 20
# How long a killed command may take to be reported dead before we give up on it: it may hang in the kernel.
KILL_GRACE = 3.0


def request(directory: Path, op: str, **arguments: Any) -> dict[str, Any]:
    """Asks the supervisor of the lab in `directory` and returns its answer."""
    connection, answer = _ask(directory, op, **arguments)
    connection.close()
    return answer


def _ask(directory: Path, op: str, **arguments: Any) -> tuple[socket.socket, dict[str, Any]]:
    """Returns the answer, and the connection for what may follow."""
    connection = _connect(directory)
    try:
        connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = connection.recv(1)  # one at a time: frames may follow the line
            if not byte:
                raise LabError(f"the lab in {directory} ended")
            line += byte
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LabError(answer["error"])
    except BaseException:
        connection.close()
        raise
    return connection, answer


def _connect(directory: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Through /proc, because the path of a unix socket may have 107 characters only.
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{descriptor}/{rundir.CONTROL_SOCKET}")
        finally:
            os.close(descriptor)
    except OSError as error:
        connection.close()
        raise LabError(f"no lab runs in {directory}") from error
    return connection


# Takes output as it comes: the descriptor (1 or 2) it was written to, and the bytes.
Sink = Callable[[int, bytes], None]


@dataclass(frozen=True)
class CommandRequest:
    argv: Sequence[str]
    env: Mapping[str, str] | None = None  # added to the machine's own
    stdin: bytes | None = None
    sink: Sink | None = None  # without one the command collects its output


class Command:
    """A command that runs in a machine. Output waits in the lab until it is asked for, in any amount.

    Ends with the `with` block, or with the process that holds it: then it is killed. Not for two threads at once.
    """

    def __init__(self, directory: Path, node: str, request: CommandRequest) -> None:
        self.node = node
        self.argv = list(request.argv)
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.code: int | None = None
        self._sink = request.sink or self._collect
        self._decoder = frames.Decoder()
        self._lines_from = 0
        self._connection, _ = _ask(directory, "run", node=node)
        if request.stdin is not None:
            for start in range(0, max(len(request.stdin), 1), STDIN_CHUNK):
                self._send(frames.STDIN, request.stdin[start : start + STDIN_CHUNK])
        self._send(frames.SPAWN, json.dumps({"argv": self.argv, "env": dict(request.env or {})}).encode())

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        while self.code is None and self._receive(timeout=0):
            pass
        return self.code

    def line(self, timeout: float = 30) -> str | None:
        """The next line of its standard output; None after the last."""
        deadline = time.monotonic() + timeout
        while (end := self.stdout.find(b"\n", self._lines_from)) < 0 and self.code is None:
            if not self._receive(deadline - time.monotonic()):
                raise CommandTimeout(self.node, self.argv, f"no line of output in {timeout} s", self._result(-1))
        if end < 0:
            end = len(self.stdout)
            if self._lines_from >= end:
                return None
        line = self.stdout[self._lines_from : end]
        self._lines_from = end + 1
        return line.decode(errors="replace")

    def lines(self, timeout: float = 30) -> Iterator[str]:
        """The lines of its standard output as they come; each may take `timeout` seconds."""
        while (line := self.line(timeout)) is not None:
            yield line

    def wait(self, timeout: float | None = 60) -> Result:
        """Waits for its end. What takes longer is killed and raises CommandTimeout."""
        if not self._wait(timeout):
            self.kill()
            ended = self._wait(KILL_GRACE)
            self.close()
            what = f"not finished after {timeout} s" + ("" if ended else ", and it cannot be killed")
            raise CommandTimeout(self.node, self.argv, what, self._result(-1))
        assert self.code is not None
        return self._result(self.code)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal to the command and its children."""
        try:
            self._connection.settimeout(None)
            self._connection.sendall(frames.encode(0, frames.SIGNAL, bytes([number])))
        except OSError:
            pass  # it has ended already: the next look at its output tells how

    def close(self) -> None:
        """Kills the command if it still runs, without waiting for its end."""
        self._connection.close()

    def __enter__(self) -> "Command":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _result(self, code: int) -> Result:
        return Result(code, bytes(self.stdout), bytes(self.stderr))

    def _wait(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.code is None:
            if not self._receive(None if deadline is None else deadline - time.monotonic()):
                return False
        return True

    def _send(self, kind: int, payload: bytes) -> None:
        try:
            self._connection.settimeout(None)
            self._connection.sendall(frames.encode(0, kind, payload))
        except OSError as error:
            raise self._lost() from error

    def _receive(self, timeout: float | None) -> bool:
        """Takes in what has arrived. False when nothing did in time."""
        try:
            self._connection.settimeout(None if timeout is None else max(timeout, 0))
            data = self._connection.recv(READ_SIZE)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            raise self._lost() from error
        if not data:
            raise self._lost()
        for _, kind, payload in self._decoder.feed(data):
            if kind == frames.STDOUT:
                self._sink(1, payload)
            elif kind == frames.STDERR:
                self._sink(2, payload)
            elif kind == frames.EXIT:
                self.code = payload[0]
                self.close()
        return True

    def _collect(self, descriptor: int, data: bytes) -> None:
        output = self.stdout if descriptor == 1 else self.stderr
        output += data

    def _lost(self) -> MachineLost:
        self.close()
        return MachineLost(f"{self.node} went away while it ran {self.argv}")
