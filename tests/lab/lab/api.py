"""The lab: some emulated machines on a network of their own, as a context manager."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from . import etcd, storage
from .client import request
from .errors import LabError
from .node import Node
from .paths import LAB_SOURCE, run_dir

DEFAULT_MEMORY_MIB = 768

# Programs of the host that a lab needs, and the Debian package of each.
NEEDED_PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "modprobe": "kmod",
    "setpriv": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "lvm": "lvm2",
    "drbdadm": "drbd-utils",
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "curl": "curl",
}

# Set it to keep the consoles and disk images of labs that belong to a process.
KEEP_VARIABLE = "PLEXLAB_KEEP"

T = TypeVar("T")


def require_programs() -> None:
    """Raises with the Debian packages that are missing."""
    missing = sorted({package for program, package in NEEDED_PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise LabError(f"not installed: {' '.join(missing)}")


def wait_until(condition: Callable[[], T], timeout: float, what: str, interval: float = 0.1) -> T:
    """Asks again and again until the answer is true, and returns it."""
    began = time.monotonic()
    deadline = began + timeout
    while not (answer := condition()):
        now = time.monotonic()
        if now > deadline:
            raise LabError(f"not within {timeout} s: {what}")
        # What is waited for needs the emulated processor, too: asking takes half of it at most.
        time.sleep(max(interval, now - began))
        began = time.monotonic()
    return answer


class Lab:
    """`with Lab(nodes=3) as lab:` boots the machines n1, n2, n3, and removes everything at the end.

    The lab belongs to this process: when it ends in any way, even by SIGKILL, the machines end too. A lab that
    outlives its maker is started with `start(owner=None)`, and found again by `attach`.
    """

    def __init__(
        self, nodes: int = 3, *, memory_mib: int = DEFAULT_MEMORY_MIB, directory: Path | None = None
    ) -> None:
        self.directory = directory or run_dir(f"test-{os.getpid()}")
        self.nodes = [Node(self.directory, number) for number in range(1, nodes + 1)]
        self._memory_mib = memory_mib
        self._supervisor: subprocess.Popen[bytes] | None = None  # when we started it

    def __enter__(self) -> "Lab":
        self.start(owner=os.getpid())
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(keep=KEEP_VARIABLE in os.environ)

    @classmethod
    def attach(cls, directory: Path) -> "Lab":
        """The lab that runs in a state directory, whoever started it."""
        return cls(nodes=len(request(directory, "status")["nodes"]), directory=directory)

    def start(self, owner: int | None) -> None:
        """Boots the machines, without waiting for them; they end with the process `owner`, or with `stop`."""
        require_programs()
        config = {
            "directory": str(self.directory),
            "nodes": len(self.nodes),
            "memory_mib": self._memory_mib,
            "owner": owner,
        }
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "lab.supervisor", json.dumps(config)],
            cwd=LAB_SOURCE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # ^C is for us: it must not reach the supervisor while we still use it
        )
        assert self._supervisor.stdout is not None
        try:
            with self._supervisor.stdout as report:
                answer = json.loads(report.readline() or '{"error": "its supervisor ended"}')
        except BaseException:
            self._supervisor.terminate()
            self._supervisor.wait()
            raise
        if "error" in answer:
            self._supervisor.wait()
            raise LabError(f"cannot start the lab: {answer['error']}")

    def stop(self, keep: bool = False) -> None:
        """Ends everything that still runs; `keep` leaves the consoles and the disk images where they are."""
        try:
            supervisor = os.pidfd_open(request(self.directory, "stop", keep=keep)["pid"])
        except (LabError, ProcessLookupError):
            pass  # it ended before
        else:
            select.select([supervisor], [], [])
            os.close(supervisor)
        if self._supervisor is not None:
            self._supervisor.wait()
            self._supervisor = None

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise LabError(f"no node {name}: there are {', '.join(node.name for node in self.nodes)}")

    def status(self) -> dict[str, Any]:
        """The supervisor's own words: nodes with state and pid, cut links, packets."""
        return request(self.directory, "status")

    def wait_ready(self) -> None:
        for node in self.nodes:
            node.wait_ready()

    def on_all(self, work: Callable[[Node], T], nodes: Iterable[Node] | None = None) -> list[T]:
        """Does the same on several nodes (default: all) at once."""
        chosen = list(self.nodes if nodes is None else nodes)
        with ThreadPoolExecutor(max_workers=len(chosen)) as threads:
            return list(threads.map(work, chosen))

    def cut(self, a: Node | str, b: Node | str | None = None, *, one_way: bool = False, port: int = 0) -> None:
        """Cuts the link of a and b, or of a and everyone; `one_way`: only what a sends is lost; `port`: only what
        goes to or comes from that TCP port."""
        request(self.directory, "cut", a=_name(a), b=_name(b), one_way=one_way, port=port)

    def heal(self, a: Node | str | None = None, b: Node | str | None = None) -> None:
        """Heals the link of a and b, all links of a, or all links there are."""
        request(self.directory, "heal", a=_name(a), b=_name(b))

    def delay(self, seconds: float) -> None:
        """Lets every packet travel that long; 0 ends it."""
        request(self.directory, "delay", seconds=seconds)

    def plug(self, name: str, number: int, namespace: Path, addresses: list[str]) -> None:
        """Puts a network namespace of this host on the network, as the device `lab` with these addresses (with their
        prefix lengths). `name` is for cut and heal, `number` (of a byte) must be none of a node."""
        request(self.directory, "plug", name=name, number=number, namespace=str(namespace), addresses=addresses)

    def restore(self) -> None:
        """Heals the network and has every machine run: the state in which a test may begin."""
        self.heal()
        self.delay(0)
        for node in self.nodes:
            state = node.state
            if state == "off":
                node.power_on(wait=False)
            elif state == "paused":
                node.resume()
        self.wait_ready()

    def prepare_lvm(self) -> None:
        """Makes the volume group vg0 on every node, with the thin pool vg0/thin and room beside it."""
        self.on_all(storage.prepare_lvm)

    def start_etcd(self, nodes: Iterable[Node] | None = None) -> None:
        """Starts an etcd cluster of these nodes (default: all) and waits until it answers. See Node.etcd_url.

        It is the service "etcd" of each node (Node.kill_service, resume_service) and returns after a power loss.
        """
        etcd.start(list(self.nodes if nodes is None else nodes))

    def stop_etcd(self) -> None:
        """Ends the cluster and forgets its data."""
        self.on_all(etcd.stop)


def _name(node: Node | str | None) -> str | None:
    return node.name if isinstance(node, Node) else node
