"""A volume's life by the calls of kubelets and controller-managers, on one node with a pool of files."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab import wait_until
from plexvol_host import NODE, Driver, Host, Reply

MIB = 1 << 20
SIZES = {"ext4": "64Mi", "xfs": "300Mi"}


def twice(driver: Driver, *arguments: str | Path) -> Reply:
    """Twice in a row, then twice at once: every call must be able to come again."""
    first = driver.must(*arguments)
    assert driver.must(*arguments).json == first.json
    with ThreadPoolExecutor(2) as threads:
        for reply in threads.map(lambda _: driver.must(*arguments), range(2)):
            assert reply.json == first.json
    return first


def write_random(path: Path) -> str:
    """Some MiB, synced; their checksum."""
    data = os.urandom(4 * MIB)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(host: Host, name: str, fs_type: str, made_by: str) -> str:
    """The options of the calls to come, for a volume that the first of them makes, or that exists already."""
    if made_by == "options":
        return host.options(name, fs_type=fs_type, size=SIZES[fs_type])
    host.create(name, SIZES[fs_type], fs_type=fs_type)
    return host.options(name)


@pytest.mark.parametrize("made_by", ["options", "command"])
@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_attach_to_detach(host: Host, fs_type: str, made_by: str) -> None:
    driver = host.attaching
    asked = make(host, "pv-1", fs_type, made_by)
    device_dir, pod = host.device_dir("pv-1"), host.pod_dir("pv-1")
    # Shows a mount that one driver makes where another is already, or an unmount that takes one too few.
    both = [str(device_dir), str(pod)]

    device = twice(driver, "attach", asked, NODE).json["device"]
    assert device == host.device("pv-1")
    assert twice(driver, "waitforattach", device, asked).json["device"] == device
    assert twice(driver, "isattached", asked, NODE).json["attached"] is True
    assert driver.must("isattached", asked, "n2").json["attached"] is False
    twice(driver, "mountdevice", device_dir, device, asked)
    twice(driver, "mount", pod, asked)
    assert sorted(host.mounts()) == sorted(both)
    assert host.machine.run("findmnt", "--noheadings", "--output", "FSTYPE", pod).strip() == fs_type
    written = write_random(host.see(pod / "data"))

    twice(driver, "unmount", pod)
    assert host.mounts() == [str(device_dir)]
    twice(driver, "unmountdevice", device_dir)
    assert host.mounts() == []
    twice(driver, "detach", "pv-1", NODE)
    assert driver.must("isattached", asked, NODE).json["attached"] is False
    assert list(host.devices.iterdir()) == []

    # What was written is there at the next attach; its options are those of before.
    driver.must("attach", asked, NODE)
    driver.must("waitforattach", device, asked)
    driver.must("mountdevice", device_dir, device, asked)
    driver.must("mount", pod, asked)
    assert checksum(host.see(pod / "data")) == written
    driver.must("unmount", pod)
    driver.must("unmountdevice", device_dir)
    driver.must("detach", "pv-1", NODE)
    host.delete("pv-1")
    assert list(host.pool.iterdir()) == []


@pytest.mark.parametrize("made_by", ["options", "command"])
@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_mount_to_unmount(host: Host, fs_type: str, made_by: str) -> None:
    driver = host.mounting
    asked = make(host, "pv-1", fs_type, made_by)
    pod, other = host.pod_dir("pv-1"), host.pod_dir("pv-1", "pod2")
    twice(driver, "mount", pod, asked)
    assert host.mounts() == [str(pod)]
    written = write_random(host.see(pod / "data"))
    twice(driver, "mount", other, asked)
    assert checksum(host.see(other / "data")) == written
    twice(driver, "unmount", pod)
    assert host.mounts() == [str(other)]
    assert host.volume("pv-1")["attached_to"] == NODE
    twice(driver, "unmount", other)
    host.wait_detached("pv-1")
    assert list(host.devices.iterdir()) == []

    driver.must("mount", pod, asked)
    assert checksum(host.see(pod / "data")) == written
    driver.must("unmount", pod)
    host.wait_detached("pv-1")
    host.delete("pv-1")
    assert list(host.pool.iterdir()) == []


def test_what_needs_no_agent_answers_at_once_without_one(host: Host) -> None:
    host.stop()
    for driver, attach in ((host.attaching, True), (host.mounting, False)):
        reply = driver.must("init")
        assert reply.json["capabilities"]["attach"] is attach
        assert reply.seconds < 2
        named = driver.call("getvolumename", host.options("pv-1"))
        assert named.json["status"] == "Not supported" and named.seconds < 2


def test_volumes_survive_the_agents_end_and_a_new_agent(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    pod, other = host.pod_dir("pv-1"), host.pod_dir("pv-1", "pod2")
    host.mounting.must("mount", pod, asked)
    written = write_random(host.see(pod / "data"))
    host.stop()
    assert checksum(host.see(pod / "data")) == written
    host.start()
    host.mounting.must("mount", other, asked)
    host.mounting.must("unmount", pod)
    assert checksum(host.see(other / "data")) == written
    host.mounting.must("unmount", other)
    host.wait_detached("pv-1")


def test_a_volume_is_not_deleted_while_it_is_attached(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    pod = host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    written = write_random(host.see(pod / "data"))
    refused = host.plexvol("volume", "delete", "pv-1")
    assert refused.returncode != 0 and f"pv-1 is in use on {NODE}" in refused.stderr
    assert checksum(host.see(pod / "data")) == written
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


# Read-only mounts

READ_ONLY = {"readwrite": {"readwrite": "ro"}, "readOnly": {"readOnly": "true"}, "mountOptions": {"mountOptions": "ro"}}


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
@pytest.mark.parametrize("first", ["read-only", "writable"])
@pytest.mark.parametrize("way", READ_ONLY)
def test_a_read_only_mount_leaves_the_others_writable(host: Host, way: str, first: str, fs_type: str) -> None:
    asked = {
        "writable": host.options("pv-1", fs_type=fs_type, size=SIZES[fs_type]),
        "read-only": host.options("pv-1", fs_type=fs_type, size=SIZES[fs_type], **READ_ONLY[way]),
    }
    pods = {kind: host.pod_dir("pv-1", kind) for kind in asked}
    for kind in sorted(asked, key=lambda kind: kind != first):
        host.mounting.must("mount", pods[kind], asked[kind])
    host.see(pods["writable"] / "file").write_text("shared")
    assert host.see(pods["read-only"] / "file").read_text() == "shared"
    with pytest.raises(OSError) as refusal:
        host.see(pods["read-only"] / "other").write_text("never")
    assert refusal.value.errno == errno.EROFS
    for kind in asked:
        host.mounting.must("unmount", pods[kind])
    host.wait_detached("pv-1")


def test_a_read_only_claim_of_an_attached_volume(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi", readwrite="ro")
    driver, device_dir, pod = host.attaching, host.device_dir("pv-1"), host.pod_dir("pv-1")
    device = driver.must("attach", asked, NODE).json["device"]
    driver.must("waitforattach", device, asked)
    driver.must("mountdevice", device_dir, device, asked)
    driver.must("mount", pod, asked)
    with pytest.raises(OSError) as refusal:
        host.see(pod / "file").write_text("never")
    assert refusal.value.errno == errno.EROFS
    driver.must("unmount", pod)
    driver.must("unmountdevice", device_dir)
    driver.must("detach", "pv-1", NODE)


def test_mount_options_and_mkfs_options_arrive(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi", mountOptions="noatime,nosuid,discard", mkfsOptions="-i 65536")
    pod = host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    seen = host.machine.run("findmnt", "--noheadings", "--output", "OPTIONS", pod).strip().split(",")
    assert {"noatime", "nosuid", "discard"} <= set(seen)
    header = host.machine.run("dumpe2fs", "-h", host.loop_of("pv-1"))
    assert "Inode count:              1024\n" in header, header
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


# Many at once

MANY = 30 if os.environ.get("PLEXVOL_LONG") else 10


def test_many_volumes_at_once(host: Host) -> None:
    names = [f"pv-{number}" for number in range(MANY)]

    def live(name: str) -> None:
        asked, pod = host.options(name, size="16Mi"), host.pod_dir(name)
        host.mounting.must("mount", pod, asked)
        host.see(pod / "name").write_text(name)
        host.mounting.must("unmount", pod)
        host.mounting.must("mount", pod, asked)
        assert host.see(pod / "name").read_text() == name

    def die(name: str) -> None:
        host.mounting.must("unmount", host.pod_dir(name))
        host.wait_detached(name)
        host.delete(name)

    with ThreadPoolExecutor(MANY) as threads:
        list(threads.map(live, names))
        assert len(host.mounts()) == len(host.loops()) == MANY
        list(threads.map(die, names))
    assert host.volumes() == [] and host.loops() == {}


def test_many_mounts_of_one_volume_at_once(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    pods = [host.pod_dir("pv-1", f"pod{number}") for number in range(MANY)]
    with ThreadPoolExecutor(MANY) as threads:
        list(threads.map(lambda pod: host.mounting.must("mount", pod, asked), pods))
        assert sorted(host.mounts()) == sorted(map(str, pods))
        assert len(host.loops()) == 1
        for pod in pods:
            host.see(pod / pod.parents[2].name).write_text("here")
        assert len([path for path in host.see(pods[0]).iterdir() if path.name.startswith("pod")]) == MANY
        list(threads.map(lambda pod: host.mounting.must("unmount", pod), pods))
    assert host.mounts() == []
    host.wait_detached("pv-1")
    wait_until(lambda: list(host.devices.iterdir()) == [], 120, "the link is gone")
