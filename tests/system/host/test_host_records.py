"""What stands in the way of an agent that starts: records that it cannot read, a full disk, no route yet."""

import itertools
import json
import zlib

import pytest
from lab import wait_until
from plexvol_host import NODE, Host


def append_record(host: Host, key: str, value: str | None) -> None:
    """To the embedded store's file, as agent/store/file_format.h has it. Only while no agent runs."""
    path = host.directory / "store" / "store.log"
    revision = 1 + max(int(line.split()[1]) for line in path.read_bytes().split(b"\n") if line.startswith(b"record "))
    if value is None:
        body = f"remove {len(key)}\n{key}\n".encode()
    else:
        body = f"put {revision} {len(key)} {len(value)}\n{key}\n{value}\n".encode()
    head = f"record {revision} {len(body)} {zlib.crc32(body):08x} ".encode()
    with path.open("ab") as file:
        file.write(head + f"{zlib.crc32(head):08x}\n".encode() + body)


def finding(host: Host, what: str) -> dict[str, str]:
    findings = json.loads(host.plexvol("doctor", "-o", "json").stdout)["findings"]
    (found,) = [found for found in findings if found["what"] == what]
    assert isinstance(found, dict)
    return found


def node(host: Host) -> dict[str, object]:
    (shown,) = json.loads(host.plexvol("node", "list", "-o", "json").stdout)["nodes"]
    assert isinstance(shown, dict)
    return shown


GARBAGE = {
    "volumes/bad": '{"name": "bad", "size_bytes": 1e300}',
    "nodes/bad": "",
    "current/bad": "[[[[",
    "attachments/bad": '{"node": 7}',
    "cordons/bad": "null",
    "status/n1/bad": "\x00\x01",
    "slots/bad": "bad",
}


@pytest.mark.finding("D6", "S6")
def test_one_garbage_record_stops_nobody_else(host: Host) -> None:
    host.create("pv-1")
    host.stop()
    for key, value in GARBAGE.items():
        append_record(host, key, value)
    host.start()
    states = {volume["name"]: volume["state"] for volume in json.loads(host.plexvol("volume", "list", "-o", "json").stdout)["volumes"]}
    assert states == {"pv-1": "Ready", "bad": "Unreadable"}
    assert node(host)["name"] == NODE
    asked, pod = host.options("pv-2", size="64Mi"), host.pod_dir("pv-2")
    host.mounting.must("mount", pod, asked)
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-2")
    shown = host.plexvol("volume", "show", "bad")
    assert shown.returncode == 1 and "volumes/bad: the record cannot be read: " in shown.stderr
    host.mounting.refused("mount", host.pod_dir("bad"), host.options("bad"), naming="volumes/bad: the record cannot be read")
    for key in ("volumes/bad", "nodes/bad", "current/bad", "attachments/bad", "cordons/bad"):
        found = finding(host, f"store's record {key}")
        assert found["level"] == "fault" and key in found["found"]
        assert f"{key}: the record cannot be read" in host.log_path.read_text()
    drained = host.plexvol("node", "drain", NODE)
    assert drained.returncode == 1 and "bad: volumes/bad: the record cannot be read" in drained.stdout
    assert host.plexvol("node", "uncordon", NODE).returncode == 0
    host.stop()
    for key in GARBAGE:
        append_record(host, key, None)
    host.start()


@pytest.mark.finding("D6")
def test_what_is_not_known_of_a_record_is_written_again(host: Host) -> None:
    host.create("pv-1")
    host.stop()
    added = {"~later": {"version": 9}}
    kinds = ("volumes/pv-1", f"status/{NODE}/pv-1", f"nodes/{NODE}")
    for key in kinds:
        record = {**json.loads(host.keys()[key]), **added}
        for part in record.get("replicas", []) + record.get("pools", []):
            part.update(added)
        append_record(host, key, json.dumps(record))
    host.start()
    # Each of them is written: the volume is formatted, its status changes, the pool gets fuller.
    asked, pod = host.options("pv-1"), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    host.stop()
    kept = {key: json.loads(host.keys()[key]) for key in kinds}
    assert kept["volumes/pv-1"]["format"] == "Done"
    for key, record in kept.items():
        assert record["~later"] == added["~later"], key
        for part in record.get("replicas", []) + record.get("pools", []):
            assert part["~later"] == added["~later"], key
    host.start()


@pytest.mark.finding("O4")
def test_an_agent_starts_on_a_full_disk(host: Host) -> None:
    store, state = host.directory / "store", host.directory / "state"
    host.stop()
    for folder in (store, state):
        folder.mkdir(exist_ok=True)
        host.machine.run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder)
    host.start()
    host.create("pv-1")
    host.machine.run("sh", "-c", f"for d in {store} {state}; do dd if=/dev/zero of=$d/full bs=4k || true; done")
    verbs = itertools.cycle(("cordon", "uncordon"))
    while (last := host.plexvol("node", next(verbs), NODE)).returncode == 0:
        pass  # the file's last block has some room left
    assert "No space left on device" in last.stderr
    host.kill()
    host.start()
    # What needs no write is served.
    assert host.volumes() == ["pv-1"]
    assert node(host)["alive"] is True
    assert host.attaching.must("isattached", host.options("pv-1"), NODE).json["attached"] is False
    host.mounting.refused("mount", host.pod_dir("pv-1"), host.options("pv-1"), naming=("store.log", "No space left on device"))
    host.machine.run("rm", store / "full", state / "full")
    assert host.plexvol("node", "uncordon", NODE).returncode == 0
    host.mounting.must("mount", host.pod_dir("pv-1"), host.options("pv-1"))
    host.mounting.must("unmount", host.pod_dir("pv-1"))
    host.wait_detached("pv-1")
    host.delete("pv-1")
    host.stop()
    for folder in (store, state):
        host.machine.run("umount", folder)
    host.start()


@pytest.mark.finding("O3")
def test_an_address_that_comes_after_the_agent_is_found(host: Host) -> None:
    assert node(host)["address"] == ""
    host.machine.run("ip", "link", "set", "lo", "up")
    add_route(host, "10.77.0.5")
    wait_until(lambda: node(host)["address"] == "10.77.0.5", 60, "the address is in the store")
    # Another route is no reason to leave the peers that are connected: it is told.
    host.machine.run("ip", "route", "delete", "default")
    add_route(host, "10.77.0.6")
    host.create("pv-1")  # the node looks at itself again
    wait_until(lambda: "is now 10.77.0.6" in host.log_path.read_text(), 60, "the log tells of the other route")
    assert node(host)["address"] == "10.77.0.5"
    host.restart()
    wait_until(lambda: node(host)["address"] == "10.77.0.6", 60, "a restarted agent uses it")
    assert "changed from 10.77.0.5 to 10.77.0.6" in host.log_path.read_text()


def add_route(host: Host, address: str) -> None:
    host.machine.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    host.machine.run("ip", "route", "add", "default", "dev", "lo", "src", address)
