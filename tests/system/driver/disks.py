"""File systems on loop devices, and what is mounted where."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def mounts() -> list[list[str]]:
    """Device number, root, mount point, options, file system: of every mount, oldest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        dash = fields.index("-", 6)
        found.append([fields[2], fields[3], fields[4], fields[5], fields[dash + 1]])
    return found


def lock_of(target: Path) -> Path:
    """The file that stands for the lock on a target, named by its FNV-1a hash."""
    name = 14695981039346656037
    for byte in os.fsencode(target):
        name = (name ^ byte) * 1099511628211 % 2**64
    return Path(f"/run/plexvol/targets/{name:016x}")


def mounts_on(target: Path) -> list[list[str]]:
    return [mount for mount in mounts() if mount[2] == str(target)]


class Disk:
    """A file system on a loop device, and the link by which the agent names it."""

    def __init__(self, directory: Path, name: str, fs_type: str = "ext4") -> None:
        self.image = directory / f"{name}.img"
        self.link = directory / name
        self.fs_type = fs_type
        with self.image.open("wb") as file:
            file.truncate((32 if fs_type == "ext4" else 320) * 1024 * 1024)
        run(f"mkfs.{fs_type}", "-q", str(self.image))
        self.device = run("losetup", "--find", "--show", str(self.image))
        self.link.symlink_to(self.device)
        self.number = os.stat(self.device).st_rdev

    @property
    def major_minor(self) -> str:
        return f"{os.major(self.number)}:{os.minor(self.number)}"

    def reply(self, **changes: Any) -> dict[str, Any]:
        return {"volume": "pv-1", "device": str(self.link), "major": os.major(self.number),
                "minor": os.minor(self.number), "fs_type": self.fs_type, "flags": [], "data": "",
                "read_only": False, "call_id": "7", **changes}

    def remove(self) -> None:
        while here := [mount[2] for mount in mounts() if mount[0] == self.major_minor]:
            run("umount", here[-1])
        run("losetup", "--detach", self.device)


def wait_until(condition: Any, what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)
