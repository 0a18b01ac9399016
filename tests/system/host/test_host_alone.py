"""An agent whose surroundings are incomplete: a node of its own without DRBD, an etcd that is down, certificates that lack."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated import Machine
from lab import wait_until
from plexvol_host import BUILD

NOWHERE = ["http://127.0.0.1:1", "http://127.0.0.2:1"]
# Nothing of what carries the calls to etcd is of interest at 3 a.m.
CARRIERS_WORDS = ("addresses", "UNKNOWN", "ipv4:", "gRPC", "remote host")


class Agent:
    def __init__(self, directory: Path, machine: Machine) -> None:
        self.directory = directory
        self._machine = machine
        self._processes: list[subprocess.Popen[str]] = []
        (directory / "pool").mkdir()

    def configure(self, **changes: Any) -> Path:
        config = {
            "node_name": "n1", "address": "127.0.0.1", "sockets": [f"{self.directory}/s"],
            "pools": [{"name": "files", "type": "file", "directory": f"{self.directory}/pool"}],
            "store": {"kind": "embedded", "directory": f"{self.directory}/store"},
            "state_directory": f"{self.directory}/state", "device_directory": f"{self.directory}/dev",
            "drbd": {"helper": f"{self.directory}/nowhere"}, **changes,
        }
        file = self.directory / "plexvold.json"
        file.write_text(json.dumps(config))
        return file

    def run(self, program: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = self._machine.inside([BUILD / program, *arguments])
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    def start(self, config: Path) -> None:
        agent = self._machine.popen([BUILD / "plexvold", "--config", config], stderr=subprocess.DEVNULL)
        self._processes.append(agent)
        wait_until(lambda: (self.directory / "s").exists(), 60, "the agent listens")

    def ask(self, *arguments: str) -> str:
        """Of a command that fails: what it says."""
        done = self.run("plexvol", "--socket", self.directory / "s", *arguments)
        assert done.returncode == 1
        return done.stderr


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    machine = Machine()
    machine.run("ip", "link", "set", "lo", "up")
    yield Agent(tmp_path_factory.mktemp("a"), machine)
    machine.power_off()


@pytest.mark.finding("K7")
def test_a_node_of_its_own_needs_no_drbd(agent: Agent) -> None:
    usual = ["/run/plexvol/plexvold.sock"]
    config = agent.configure(sockets=usual)
    done = agent.run("plexvold", "--config", config, "--doctor")
    assert "FAULT" not in done.stdout, done.stdout
    assert done.returncode == 0
    for word in ("DRBD", "drbd"):
        assert word not in done.stdout
    # The same node in a cluster does.
    config = agent.configure(sockets=usual, store={"kind": "etcd", "endpoints": NOWHERE})
    assert "DRBD" in agent.run("plexvold", "--config", config, "--doctor").stdout


@pytest.mark.finding("O11")
def test_the_doctor_names_all_certificates_that_lack_and_looks_at_the_rest(agent: Agent) -> None:
    files = {f"{kind}_file": f"{agent.directory}/{kind}.pem" for kind in ("ca", "certificate", "key")}
    (agent.directory / "certificate.pem").write_text("there")
    config = agent.configure(store={"kind": "etcd", "endpoints": ["https://127.0.0.1:1"], **files})
    done = agent.run("plexvold", "--config", config, "--doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert "pool files" in done.stdout and "etcd's members" in done.stdout
    for kind in ("ca", "key"):
        assert f"store.{kind}_file: cannot read {agent.directory}/{kind}.pem: No such file" in done.stdout
    assert "store.certificate_file" not in done.stdout
    # One that is there and is no certificate is told of, too.
    for kind in ("ca", "key"):
        (agent.directory / f"{kind}.pem").write_text("there")
    done = agent.run("plexvold", "--config", config, "--doctor")
    assert done.returncode == 1 and "FAULT    store" in done.stdout


@pytest.mark.finding("O11")
@pytest.mark.parametrize("command", [["volume", "list"], ["volume", "create", "x", "--size", "64Mi"], ["node", "list"]])
def test_a_command_blames_the_etcd_that_is_down_and_not_the_agent(agent: Agent, command: list[str]) -> None:
    """Also one that has less time than the agent gives etcd."""
    agent.start(agent.configure(store={"kind": "etcd", "endpoints": NOWHERE}))
    for limit in ([], ["--timeout", "2"]):
        said = agent.ask(*limit, *command)
        assert "etcd: cannot " in said and "does not answer" not in said
        assert all(f"{endpoint} (Connection refused)" in said for endpoint in NOWHERE)
        assert not any(word in said for word in CARRIERS_WORDS), said
