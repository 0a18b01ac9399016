"""The last released agent and today's share an etcd, and change the same records: what needs no DRBD.

The rest is in tests/system/cluster/test_former_version.py.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import wait_until
from plexvol_host import BUILD, Host
from shared_etcd import Pair, skip_without_programs


def become(host: Host, build: Path) -> None:
    """Its agent and its drivers are those of this build from its next start on."""
    host.agent_argv[0] = build / "plexvold"
    for driver in (host.mounting, host.attaching):
        shutil.copy(build / "plexvol", driver.path)


@pytest.fixture
def versions(tmp_path: Path, released: Path) -> Iterator[Pair]:
    """n1 runs today's agent, n2 the released one."""
    skip_without_programs()
    pair = Pair(tmp_path, "n1", "n2")
    try:
        become(pair.second, released)
        pair.start()
        pair.second.start()
        wait_until(lambda: len(pair.keys("alive/")) == len(pair.keys("nodes/")) == 2, 60, "both agents are announced")
        yield pair
    finally:
        pair.destroy()


def states(host: Host) -> dict[str, str]:
    shown = json.loads(host.plexvol("volume", "list", "-o", "json").stdout)["volumes"]
    return {volume["name"]: volume["state"] for volume in shown}


def create(host: Host, name: str, node: str) -> None:
    done = host.plexvol("volume", "create", name, "--size", "32Mi", "--nodes", node)
    assert done.returncode == 0, done.stderr


def write(host: Host, name: str, text: str) -> None:
    pod = host.pod_dir(name)
    host.mounting.must("mount", pod, host.options(name))
    host.see(pod / "file").write_text(text)
    host.mounting.must("unmount", pod)
    host.wait_detached(name)


def read(host: Host, name: str) -> str:
    pod = host.pod_dir(name)
    host.mounting.must("mount", pod, host.options(name))
    text = host.see(pod / "file").read_text()
    host.mounting.must("unmount", pod)
    host.wait_detached(name)
    return text


@pytest.mark.long
@pytest.mark.finding("D6", "D8")
def test_each_keeps_what_the_other_writes(versions: Pair) -> None:
    pair, today, former = versions, versions.first, versions.second
    create(former, "on-today", "n1")
    create(today, "on-former", "n2")
    # What only a newer version knows, beside what today's agent is going to write.
    record = json.loads(pair.keys("volumes/")["volumes/on-today"])
    record["replicas"][0]["later"] = record["later"] = {"of": [1, 2]}
    pair.put("volumes/on-today", json.dumps(record))
    write(today, "on-today", "of today")
    write(former, "on-former", "of former")
    record = json.loads(pair.keys("volumes/")["volumes/on-today"])
    assert record["format"] == "Done"
    assert record["later"] == record["replicas"][0]["later"] == {"of": [1, 2]}
    expected = {"on-today": "Ready", "on-former": "Ready"}
    assert states(today) == states(former) == expected
    for asked, other in ((today, former), (former, today)):
        for node in ("n1", "n2"):
            assert asked.plexvol("node", "cordon", node).returncode == 0
            refused = other.plexvol("volume", "create", "no", "--size", "32Mi", "--nodes", node)
            assert "it is cordoned" in refused.stderr, refused
            assert other.plexvol("node", "uncordon", node).returncode == 0
    before = pair.keys("machines/")
    assert list(before) == ["machines/n1"]

    # The upgrade of the other node, with what it has.
    former.stop()
    become(former, BUILD)
    former.start()
    wait_until(lambda: set(pair.keys("machines/")) == {"machines/n1", "machines/n2"}, 60, "n2 says which machine it is")
    wait_until(lambda: states(today) == states(former) == expected, 60, "all volumes are ready")
    assert (read(today, "on-today"), read(former, "on-former")) == ("of today", "of former")
    today.delete("on-former")
    former.delete("on-today")
    assert pair.keys("machines/")["machines/n1"] == before["machines/n1"]
    for host in (today, former):
        log = host.log_path.read_text()
        for word in ("cannot be read", "unknown word", "is not used: ", "another agent runs"):
            assert word not in log, f"{host.config['node_name']}: {word}"
        host.stop()
