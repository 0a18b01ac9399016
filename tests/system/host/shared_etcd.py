"""Two machines with an agent each, which share an etcd on a third one."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from isolated import Machine
from lab import wait_until
from plexvol_host import Host

ETCD = Path("/usr/bin/etcd")
ETCDCTL = Path("/usr/bin/etcdctl")
LEASE_SECONDS = 5


def skip_without_programs() -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    for program in (ETCD, ETCDCTL, Path(shutil.which("ip") or "/sbin/ip")):
        if not program.exists():
            pytest.skip(f"there is no {program}")


class Pair:
    """Two machines with agents of these names, and one for their etcd."""

    def __init__(self, directory: Path, first: str, second: str) -> None:
        self._directory = directory
        store = {"kind": "etcd", "endpoints": ["http://10.99.0.1:2379"], "lease_seconds": LEASE_SECONDS}
        self.first, self.second = (Host(store=store, node_name=name) for name in (first, second))
        self._etcd: subprocess.Popen[str] | None = None
        self._etcd_machine = Machine()
        machines = (self._etcd_machine, self.first.machine, self.second.machine)
        self._connect(machines)
        for number, machine in enumerate(machines[1:]):
            own = directory / f"machine-id-{number}"
            own.write_text(f"{number + 1}" * 31 + "0\n")
            machine.run("mount", "--bind", own, "/etc/machine-id")

    def _connect(self, machines: tuple[Machine, ...]) -> None:
        """The etcd's machine is a bridge without one: a link to each of the others."""
        for number, machine in enumerate(machines[1:], start=1):
            ours, theirs = f"px{os.getpid()}a{number}", f"px{os.getpid()}b{number}"
            subprocess.run(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs], check=True)
            for link, end, address in ((ours, machines[0], "10.99.0.1/32"), (theirs, machine, f"10.99.0.{number + 1}/32")):
                subprocess.run(["ip", "link", "set", link, "netns", str(end.init)], check=True)
                end.run("ip", "link", "set", "lo", "up")
                end.run("ip", "address", "add", address, "dev", link)
                end.run("ip", "link", "set", link, "up")
            machines[0].run("ip", "route", "add", f"10.99.0.{number + 1}", "dev", ours)
            machine.run("ip", "route", "add", "10.99.0.1", "dev", theirs)
            machine.run("ip", "route", "add", "default", "via", "10.99.0.1", "dev", theirs)

    def start(self) -> None:
        url, peer = "http://10.99.0.1:2379", "http://10.99.0.1:2380"
        argv = [ETCD, "--name", "e", "--data-dir", self._directory / "etcd", "--listen-client-urls", url]
        argv += ["--advertise-client-urls", url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        argv += ["--initial-cluster", f"e={peer}"]
        self._etcd = self._etcd_machine.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self._ask("endpoint", "health").returncode == 0, 60, "etcd answers")
        self.first.start()

    def _ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = self._etcd_machine.inside([ETCDCTL, "--endpoints", "http://10.99.0.1:2379", *arguments])
        return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "ETCDCTL_API": "3"})

    def keys(self, prefix: str = "") -> dict[str, str]:
        done = self._ask("get", "--prefix", f"/plexvol/{prefix}", "-w", "fields")
        assert done.returncode == 0, done.stderr
        words = [line.partition(" : ") for line in done.stdout.splitlines()]
        names = [json.loads(value) for word, _, value in words if word == '"Key"']
        values = [json.loads(value) for word, _, value in words if word == '"Value"']
        return {name.removeprefix("/plexvol/"): value for name, value in zip(names, values, strict=True)}

    def put(self, key: str, value: str) -> None:
        assert self._ask("put", f"/plexvol/{key}", value).returncode == 0

    def destroy(self) -> None:
        for host in (self.first, self.second):
            host.destroy()
        self._etcd_machine.power_off()
