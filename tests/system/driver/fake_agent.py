"""An agent that says what a test tells it to, on a Unix socket."""

import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATUS = {"InvalidArgument": 400, "NotFound": 404, "AlreadyExists": 409, "Conflict": 409, "Unavailable": 503,
          "OutOfSpace": 507, "Unsupported": 501, "Internal": 500}


@dataclass
class Request:
    path: str
    body: Any
    headers: dict[str, str]
    connection: int
    closed: threading.Event  # when the connection it came on has ended
    at: float = field(default_factory=time.monotonic)


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def result(value: Any, trace: list[dict[str, Any]] | None = None, protocol: int = 1) -> bytes:
    return http(200, json.dumps({"protocol": protocol, "result": value, "trace": trace or []}).encode())


def error(code: str, message: str) -> bytes:
    body = {"protocol": 1, "error": {"code": code, "message": message}}
    return http(STATUS.get(code, 500), json.dumps(body).encode())


CLOSE = b"close the connection"  # instead of an answer, or after a part of one
HANG = b"never answer"

Answer = bytes | list[bytes] | Callable[[Request], bytes]


class FakeAgent:
    """Answers each path from `answers`: the same bytes each time, the items of a list one after the other (the last one
    for ever), or what a function makes of the request. Keeps every request in `requests`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.arrived: queue.Queue[Request] = queue.Queue()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def start(self) -> "FakeAgent":
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self.path.unlink(missing_ok=True)
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the driver has closed it

    def paths(self) -> list[str]:
        with self._lock:
            return [request.path for request in self.requests]

    def request(self, path: str) -> Request:
        """The only request for the path."""
        with self._lock:
            found = [request for request in self.requests if request.path == path]
        assert len(found) == 1, f"{len(found)} requests for {path}"
        return found[0]

    def _accept(self, listener: socket.socket) -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            number += 1
            with self._lock:
                self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        closed = threading.Event()
        try:
            stream = connection.makefile("rb")
            while (request := self._read(stream, number, closed)) is not None:
                with self._lock:
                    self.requests.append(request)
                self.arrived.put(request)
                answer = self._answer(request)
                if answer != HANG:
                    connection.sendall(answer.removesuffix(CLOSE))
                if answer.endswith(CLOSE):
                    break
        except OSError:
            pass  # the driver went away, which a test may be about
        finally:
            closed.set()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    @staticmethod
    def _read(stream: Any, number: int, closed: threading.Event) -> Request | None:
        line = stream.readline().decode().split()
        if not line:
            return None
        assert line[0] == "POST" and line[2] == "HTTP/1.1", line
        headers = {}
        while (header := stream.readline().decode().strip()) != "":
            name, value = header.split(":", 1)
            headers[name.lower()] = value.strip()
        body = json.loads(stream.read(int(headers["content-length"])))
        return Request(line[1], body, headers, number, closed)

    def _answer(self, request: Request) -> bytes:
        answer = self.answers.get(request.path, error("Internal", f"the test has no answer to {request.path}"))
        if callable(answer):
            return answer(request)
        if isinstance(answer, list):
            with self._lock:
                return answer.pop(0) if len(answer) > 1 else answer[0]
        return answer
