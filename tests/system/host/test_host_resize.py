"""A volume of one copy is made larger: used, unused, and while the agent is killed."""

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import wait_until
from plexvol_host import Host

MIB = 1 << 20
CAP_SYS_RESOURCE = 24  # linux/capability.h


def may_resize_ext4() -> bool:
    [mask] = re.findall(r"^CapEff:\t([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> CAP_SYS_RESOURCE & 1)


# mkfs.xfs makes none below 300 MiB.
SIZES = [
    pytest.param("ext4", 64, marks=pytest.mark.skipif(
        not may_resize_ext4(), reason="root has no CAP_SYS_RESOURCE here, which growing a mounted ext4 needs")),
    ("xfs", 300),
]  # fmt: skip
KILLS = 30 if os.environ.get("PLEXVOL_LONG") else 8


@pytest.fixture
def pod(host: Host) -> Iterator[Path]:
    yield host.pod_dir("pv-1")
    for mount in host.mounts():
        host.mounting.must("unmount", mount)


def room(path: Path) -> int:
    """Of the file system there, in MiB."""
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize // MIB


def resize(host: Host, size: str) -> str:
    done = host.plexvol("volume", "resize", "pv-1", size)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("fs_type", "size"), SIZES)
def test_a_volume_grows_while_it_is_mounted(host: Host, pod: Path, fs_type: str, size: int) -> None:
    asked = host.options("pv-1", size=f"{size}Mi", fs_type=fs_type)
    host.mounting.must("mount", pod, asked)
    file, content = host.see(pod / "data"), os.urandom(MIB)
    file.write_bytes(content)
    before = room(host.see(pod))
    assert resize(host, f"{3 * size}Mi") == f"volume pv-1 has {3 * size}Mi\n"
    assert room(host.see(pod)) >= before + 2 * size * 0.8
    assert file.read_bytes() == content
    resize(host, f"{3 * size}Mi")  # once more is no error
    # Its manifest still asks for the first size.
    host.mounting.must("mount", host.pod_dir("pv-1", "pod2"), asked)


@pytest.mark.parametrize(("fs_type", "size"), SIZES)
def test_what_is_not_mounted_grows_when_it_is(host: Host, pod: Path, fs_type: str, size: int) -> None:
    asked = host.options("pv-1", size=f"{size}Mi", fs_type=fs_type)
    host.mounting.must("mount", pod, asked)
    before = room(host.see(pod))
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    said = resize(host, f"{3 * size}Mi")
    assert said == f"volume pv-1 has {3 * size}Mi, its file system grows when it is mounted\n"
    host.mounting.must("mount", pod, asked)
    wait_until(lambda: room(host.see(pod)) >= before + 2 * size * 0.8, 60, "the file system has grown")


def test_what_was_never_mounted_is_made_with_the_new_size(host: Host, pod: Path) -> None:
    assert host.plexvol("volume", "create", "pv-1", "--size", "64Mi").returncode == 0
    assert resize(host, "200Mi") == "volume pv-1 has 200Mi\n"
    host.mounting.must("mount", pod, host.options("pv-1"))
    assert room(host.see(pod)) > 150
    assert host.volume("pv-1")["filesystem_grows"] is False


def test_what_cannot_be_done_is_said(host: Host, pod: Path) -> None:
    host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))
    for size, words in {"32Mi": "cannot be made smaller", "900Ti": "n1", "many": "size"}.items():
        done = host.plexvol("volume", "resize", "pv-1", size)
        assert done.returncode != 0 and words in done.stderr, (size, done.stderr)
    assert host.volume("pv-1")["size_bytes"] == 64 * MIB
    assert "no volume named pv-2" in host.plexvol("volume", "resize", "pv-2", "1Gi").stderr


def test_a_file_system_that_cannot_grow_is_told_and_used_as_before(host: Host, pod: Path) -> None:
    """Here since no pod may write to it."""
    asked = host.options("pv-1", size="300Mi", fs_type="xfs", readwrite="ro")
    host.mounting.must("mount", pod, asked)
    before = room(host.see(pod))
    done = host.plexvol("volume", "resize", "pv-1", "600Mi")
    assert done.returncode != 0 and "waits until it is mounted for writing" in done.stderr, done.stderr
    assert "it cannot grow" in host.plexvol("volume", "show", "pv-1").stdout
    assert room(host.see(pod)) == before
    host.mounting.must("mount", host.pod_dir("pv-1", "pod2"), asked)


def test_an_agent_that_is_killed_goes_on(host: Host, pod: Path, chance: random.Random) -> None:
    size = 300
    asked = host.options("pv-1", size=f"{size}Mi", fs_type="xfs")
    host.mounting.must("mount", pod, asked)
    content = os.urandom(MIB)
    host.see(pod / "data").write_bytes(content)
    for _ in range(KILLS):
        size += 32
        call = host.start_command("volume", "resize", "pv-1", f"{size}Mi")
        time.sleep(chance.uniform(0, 0.06))  # the moment itself is what is tried
        host.restart()
        call.communicate(timeout=60)
        resize(host, f"{size}Mi")
        assert room(host.see(pod)) >= size * 0.8
        assert host.see(pod / "data").read_bytes() == content
