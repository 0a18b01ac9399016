"""What the host's tools say and are told, with real file systems: mkfs, e2fsck, libblkid, losetup."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import wait_until
from plexvol_host import NODE, Host

SIZES = {"ext4": "64Mi", "xfs": "320Mi"}
EXT3_FEATURES = "^extent,^64bit,^metadata_csum,^flex_bg,^huge_file,^dir_nlink,^extra_isize,^uninit_bg"
# Both file systems have it under one number.
GOING_DOWN = 0x8004587D
NO_LOG_FLUSH = (2).to_bytes(4, "little")


def run(*argv: str | Path, code: int = 0) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{argv}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def made(host: Host, fs_type: str = "ext4", **own: str) -> str:
    """A volume that was formatted and let go of; the options that it is mounted with."""
    asked = host.options("pv-1", size=SIZES[fs_type], fs_type=fs_type, **own)
    pod = host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    host.see(pod / "kept").write_text("kept")
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    return asked


@pytest.mark.finding("D9")
@pytest.mark.parametrize("fs_type", SIZES)
def test_a_pod_cannot_shut_itself_out_by_what_it_writes(host: Host, fs_type: str) -> None:
    """An ordinary file that fills the volume, so that one of its blocks is the device's last."""
    asked, pod = host.options("pv-1", size=SIZES[fs_type], fs_type=fs_type), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    device = host.loop_of("pv-1")
    if fs_type == "ext4":  # so that a file can have the last block, too
        Path(f"/sys/fs/ext4/{Path(device).name}/reserved_clusters").write_text("0")
    block = bytearray(4096)
    signature = b"Intel Raid ISM Cfg Sig. 1.2.01"
    block[3072 : 3072 + len(signature)] = signature
    with host.see(pod / "file").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(block)
        except OSError:
            os.fsync(file.fileno())
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    if fs_type == "ext4":  # xfs keeps the end of the device to itself
        assert "isw_raid_member" in run("blkid", "-p", device)
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "file").stat().st_size > 0
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


@pytest.mark.finding("O17")
@pytest.mark.parametrize("features", [EXT3_FEATURES, f"^has_journal,{EXT3_FEATURES}"])
def test_an_ext4_without_its_newer_features_is_still_ours(host: Host, features: str) -> None:
    asked = made(host, mkfsOptions=f"-O {features}")
    pod = host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "kept").read_text() == "kept"
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


@pytest.mark.finding("D9")
def test_a_strangers_file_system_of_the_same_type_is_not_mounted(host: Host) -> None:
    asked = made(host)
    run("mkfs.ext4", "-q", "-F", "-U", "01234567-89ab-cdef-0123-456789abcdef", host.loop_of("pv-1"))
    host.mounting.refused(
        "mount", host.pod_dir("pv-1"), asked, naming=("01234567-89ab-cdef-0123-456789abcdef", "instead of")
    )
    assert host.mounts() == []


@pytest.mark.finding("D11")
def test_a_file_system_newer_than_this_nodes_e2fsck_is_mounted(host: Host) -> None:
    asked, pod = made(host), host.pod_dir("pv-1")
    device = host.loop_of("pv-1")
    run("debugfs", "-w", "-R", "feature FEATURE_C31", device)
    assert "unsupported feature" in run("e2fsck", "-p", device, code=12)
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "kept").read_text() == "kept"
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    # It records errors, and nothing here can mend it.
    run("debugfs", "-w", "-R", "set_super_value state 2", device)
    host.mounting.refused("mount", pod, asked, naming=("FEATURE_C31", "records errors", "newer e2fsprogs"))
    assert host.mounts() == []
    host.wait_detached("pv-1")


@pytest.mark.finding("D12")
@pytest.mark.parametrize("fs_type", SIZES)
def test_a_file_system_that_shut_itself_down_is_not_given_to_the_next_pod(host: Host, fs_type: str) -> None:
    asked = host.options("pv-1", size=SIZES[fs_type], fs_type=fs_type)
    first, second = host.pod_dir("pv-1"), host.pod_dir("pv-1", "pod2")
    host.mounting.must("mount", first, asked)
    host.see(first / "kept").write_text("kept")
    os.sync()
    root = os.open(host.see(first), os.O_RDONLY)
    fcntl.ioctl(root, GOING_DOWN, NO_LOG_FLUSH)
    os.close(root)
    host.mounting.refused(
        "mount", second, asked, naming=("pv-1", "has shut itself down", "Input/output error", str(first))
    )
    assert host.mounts() == [str(first)]
    # Unmounted everywhere, it is mended by the next mount.
    host.mounting.must("unmount", first)
    host.wait_detached("pv-1")
    host.mounting.must("mount", second, asked)
    assert host.see(second / "kept").read_text() == "kept"
    host.mounting.must("unmount", second)
    host.wait_detached("pv-1")


@pytest.mark.finding("D16")
def test_the_advice_for_a_broken_file_system_can_be_followed(host: Host) -> None:
    asked, pod = made(host), host.pod_dir("pv-1")
    device = host.loop_of("pv-1")
    run("debugfs", "-w", "-R", "clri <2>", device)
    run("debugfs", "-w", "-R", "set_super_value state 2", device)
    link = host.device("pv-1")
    attach = ("attach", json.dumps({"volume": "pv-1"}, separators=(",", ":")), NODE)
    host.mounting.refused(
        "mount",
        pod,
        asked,
        naming=("UNEXPECTED INCONSISTENCY", f"plexvol attach '{attach[1]}' {NODE} && e2fsck -n {link}"),
    )
    host.wait_detached("pv-1")
    host.attaching.must(*attach)
    host.machine.run("sh", "-c", f"e2fsck -n {link}; test $? -ge 4")
    host.machine.run("sh", "-c", f"e2fsck -fy {link}; test $? -le 1")
    host.attaching.must("detach", "pv-1", NODE)
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "lost+found").is_dir()
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


@pytest.mark.finding("S5")
def test_nobody_labels_a_device_of_the_node(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi", mkfsOptions="-L cloudimg-rootfs")
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=("mkfsOptions", "-L"))
    assert host.volumes() == []


@pytest.fixture
def strange_loop(host: Host) -> Iterator[str]:
    """A loop device of somebody else, on a file whose name is no text."""
    path = os.fsencode(host.directory) + b"/\xff\xfe \\\n\"x"
    Path(os.fsdecode(path)).write_bytes(b"")
    os.truncate(path, 1 << 20)
    device = subprocess.run([b"losetup", b"--find", b"--show", path], capture_output=True, check=True).stdout
    yield device.decode().strip()
    run("losetup", "--detach", device.decode().strip())


@pytest.mark.finding("O18")
def test_a_foreign_loop_device_with_a_strange_name_disturbs_nobody(host: Host, strange_loop: str) -> None:
    asked, pod = made(host), host.pod_dir("pv-1")
    host.restart()
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "kept").read_text() == "kept"
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    host.delete("pv-1")
    assert host.loops() == {} and Path(strange_loop).is_block_device()


@pytest.fixture
def waiting_e2fsck(host: Host) -> Iterator[Path]:
    """The genuine one, which begins when nobody holds a lock on this file."""
    lock, genuine, wrapper = (host.directory / name for name in ("lock", "genuine-e2fsck", "e2fsck"))
    lock.touch()
    shutil.copy("/usr/sbin/e2fsck", genuine)
    wrapper.write_text(f'#!/bin/sh\n/usr/bin/flock {lock} true\nexec {genuine} "$@"\n')
    wrapper.chmod(0o755)
    host.machine.run("mount", "--bind", wrapper, "/usr/sbin/e2fsck")
    yield lock
    host.machine.run("umount", "/usr/sbin/e2fsck")


@pytest.mark.finding("O12")
def test_checks_that_take_long_are_told_and_keep_nobody_waiting(host: Host, waiting_e2fsck: Path) -> None:
    """More of them than the agent has workers."""
    names = [f"pv-{number}" for number in range(6)]
    asked = {name: host.options(name, size="64Mi") for name in [*names, "other"]}
    for name in names:
        host.mounting.must("mount", host.pod_dir(name), asked[name])
        host.mounting.must("unmount", host.pod_dir(name))
        host.wait_detached(name)

    def told(name: str) -> str:
        return str(host.volume(name)["replicas"][0]["error"])

    with waiting_e2fsck.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        calls = [host.mounting.start("mount", host.pod_dir(name), asked[name]) for name in names]
        wait_until(lambda: all("the check of the ext4 on /dev/loop" in told(name) for name in names), 60, "all are told")
        assert sum("has been waiting for those of other volumes since" in told(name) for name in names) == 2
        other = host.pod_dir("other")
        host.mounting.must("mount", other, asked["other"])
        host.mounting.must("unmount", other)
        assert not any(call.has_ended() for call in calls)
    for call in calls:
        assert call.wait().succeeded
    for name in names:
        wait_until(lambda name=name: told(name) == "", 60, f"{name} is in order")
        host.mounting.must("unmount", host.pod_dir(name))


@pytest.mark.finding("D13")
def test_the_nodes_record_tells_its_kernel(host: Host) -> None:
    wait_until(lambda: f"nodes/{NODE}" in host.keys(), 120, "the node's record is written")
    assert json.loads(host.keys()[f"nodes/{NODE}"])["kernel"] == os.uname().release
