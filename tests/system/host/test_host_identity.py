"""One agent on each node, one node of each name."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import wait_until
from plexvol_host import BUILD, NODE, Host
from shared_etcd import Pair, skip_without_programs



def run_second(host: Host, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """Another agent on the same machine; it must end by itself."""
    config = {**host.config, "store": {"kind": "embedded", "directory": str(host.directory / "store2")}, **settings}
    path = host.directory / "second.json"
    path.write_text(json.dumps(config))
    process = host.machine.popen([BUILD / "plexvold", "--config", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out)


@pytest.mark.finding("D8")
def test_a_second_agent_on_a_node_touches_nothing(host: Host) -> None:
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    inner = next(int(pid) for pid in host.machine.run("pidof", "plexvold").split())
    before = (host.mounts(), host.loops(), host.volumes())
    second = run_second(host, sockets=[str(host.directory / "sock2")])
    assert second.returncode == 1, second.stdout
    assert f"in use by process {inner}" in second.stdout and "one agent" in second.stdout
    assert not (host.directory / "sock2").exists() and not (host.directory / "store2").exists()
    second = run_second(host, state_directory=str(host.directory / "state2"))
    assert second.returncode == 1, second.stdout
    assert f"another plexvold is serving {host.socket}" in second.stdout
    assert not (host.directory / "store2").exists()
    assert (host.mounts(), host.loops(), host.volumes()) == before
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


@pytest.mark.finding("D8")
def test_an_agent_that_was_killed_is_replaced_at_once(host: Host) -> None:
    for _ in range(3):
        host.kill()
        host.start()
    assert host.plexvol("volume", "list").returncode == 0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two machines that call themselves n1. The agent of the second one is not started."""
    skip_without_programs()
    pair = Pair(tmp_path, NODE, NODE)
    try:
        pair.start()
        yield pair
    finally:
        pair.destroy()


def store_finding(host: Host) -> dict[str, str]:
    findings = json.loads(host.plexvol("doctor", "-o", "json").stdout)["findings"]
    (found,) = [finding for finding in findings if finding["what"] == "store"]
    assert isinstance(found, dict)
    return found


@pytest.mark.finding("D8")
def test_two_machines_of_one_name(pair: Pair) -> None:
    first, second = pair.first, pair.second
    asked, pod = first.options("pv-1", size="64Mi"), first.pod_dir("pv-1")
    first.mounting.must("mount", pod, asked)
    first.see(pod / "file").write_text("kept")

    def quiet() -> dict[str, str]:
        return {key: value for key, value in pair.keys().items() if not key.startswith("nodes/")}

    before = quiet()
    second.start()
    wait_until(lambda: "another machine" in second.log_path.read_text(), 60, "the second machine is refused")
    second.hasty.refused("mount", second.pod_dir("pv-1"), asked, naming=(f"node {NODE}", "another machine", "10.99.0.2"))
    second.hasty.refused("mount", second.pod_dir("pv-2"), second.options("pv-2", size="64Mi"), naming="another machine")
    found = store_finding(second)
    assert found["level"] == "fault" and "10.99.0.2" in found["found"]
    assert store_finding(first)["level"] == "ok"
    # It keeps asking, and ends no more often than it was told to.
    assert second.agent_pid
    assert second.plexvol("node", "adopt", NODE).returncode == 1
    assert quiet() == before
    assert first.mounts() == [str(pod)] and first.see(pod / "file").read_text() == "kept"
    first.mounting.must("unmount", pod)
    first.wait_detached("pv-1")

    # Dead, it still has a copy: somebody has to say whose the name is.
    first.kill()
    wait_until(lambda: not pair.keys("alive/"), 60, "the lease of the first agent ends")
    wait_until(lambda: "plexvol node forget" in second.log_path.read_text(), 60, "the second one says what to do")
    second.hasty.refused("mount", second.pod_dir("pv-1"), asked, naming=f"plexvol node adopt {NODE}")
    done = second.plexvol("node", "adopt", NODE)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: bool(pair.keys("alive/")), 60, "the second machine is n1")
    second.mounting.must("mount", second.pod_dir("pv-2"), second.options("pv-2", size="64Mi"))
    second.mounting.must("unmount", second.pod_dir("pv-2"))

    # The former one comes back.
    first.start()
    wait_until(lambda: "another machine" in first.log_path.read_text(), 60, "the first machine is refused")
    first.hasty.refused("mount", pod, asked, naming="another machine")
    second.wait_detached("pv-2")
    second.delete("pv-2")
    for host in (first, second):
        host.stop()


@pytest.mark.finding("D8")
def test_a_second_agent_on_a_node_does_not_announce_itself(pair: Pair) -> None:
    """Restarted each second by systemd, it made the first one look dead to the cluster."""
    host = pair.first
    wait_until(lambda: bool(pair.keys("alive/")), 60, "the first agent is announced")
    before = pair.keys("alive/")
    for settings in ({"sockets": [str(host.directory / "sock2")]}, {"state_directory": str(host.directory / "state2")}):
        second = run_second(host, store=host.config["store"], **settings)
        assert second.returncode == 1, second.stdout
        assert pair.keys("alive/") == before
    host.stop()
