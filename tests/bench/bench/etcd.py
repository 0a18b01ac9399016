"""One etcd on this machine, for figures: its data in memory, gone with the one who started it."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

MEMORY = Path("/dev/shm")
# Nobody is left behind by a measurement that was killed.
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]


@dataclass
class Sample:
    """What etcd has counted since its start."""

    when: float
    counters: dict[str, float]

    def requests(self, method: str = "") -> float:
        return self._sum("grpc_server_started_total", method)

    def watch_messages(self) -> float:
        return self._sum("grpc_server_msg_sent_total", "Watch")

    def bytes_sent(self) -> float:
        return self.counters.get("etcd_network_client_grpc_sent_bytes_total", 0)

    def watches(self) -> float:
        return self.counters.get("etcd_debugging_mvcc_watcher_total", 0)

    def puts(self) -> float:
        return self.counters.get("etcd_mvcc_put_total", 0)

    def methods(self) -> set[str]:
        return {key.split('grpc_method="')[1].split('"')[0] for key in self.counters if "grpc_method=" in key}

    def _sum(self, name: str, method: str) -> float:
        wanted = f'grpc_method="{method}"' if method else ""
        return sum(value for key, value in self.counters.items() if key.startswith(name + "{") and wanted in key)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def resident_mib(pid: int) -> float:
    """Its own share of what it has in memory: pages that processes have in common count once."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


class Etcd:
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="plexvol-bench-", dir=MEMORY))
        port, self.peer_port = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Etcd":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self.peer_port}"
        options = {
            "name": "bench",
            "data-dir": self.directory / "data",
            "listen-client-urls": self.endpoint,
            "advertise-client-urls": self.endpoint,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"bench={peer}",
        }
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*DIES_WITH_US, "etcd", *(f"--{name}={value}" for name, value in options.items())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("etcd does not start: " + (self.directory / "log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def is_healthy(self) -> bool:
        try:
            return json.loads(self._get("/health"))["health"] == "true"
        except OSError:
            return False

    def sample(self) -> Sample:
        text = self._get("/metrics")
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return Sample(time.monotonic(), {name: float(value) for name, _, value in lines})

    def count(self, prefix: str) -> int:
        """How many keys begin so."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        asked = {"key": _base64(prefix), "range_end": _base64(end), "count_only": True}
        return int(json.loads(self._get("/v3/kv/range", json.dumps(asked).encode())).get("count", 0))

    def _get(self, path: str, body: bytes | None = None) -> str:
        with urllib.request.urlopen(self.endpoint + path, body, timeout=30) as reply:
            return reply.read().decode()


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
