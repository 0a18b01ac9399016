"""The machines of a cluster end with the process that they belong to, however that ends, and leave nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kube.cgroups import Cgroups
from lab import wait_until

SCRIPT = """
import sys
from kube.machine import Machines

with Machines("a", "b") as machines:
    a = machines.all["a"]
    image = "/var/lib/images/one.img"
    a.run("truncate", "--size=16M", image)
    device = a.run("losetup", "--find", "--show", image).strip()
    a.run("mkfs.ext4", "-q", device)
    a.run("mkdir", "/var/lib/kubelet/one")
    a.run("mount", device, "/var/lib/kubelet/one")
    a.run("rm", image)
    a.start("sleeper", ["setsid", "sleep", "1000000"])
    print(machines.folder, device, flush=True)
    sys.stdin.read()
"""
FOLDERS = [Path(__file__).resolve().parents[2] / name for name in ("lab", "kubernetes")]


def is_on_a_file(device: str) -> bool:
    return Path(f"/sys/block/{Path(device).name}/loop/backing_file").exists()


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_nothing_is_left(able: None, number: signal.Signals | None) -> None:
    path = ":".join(str(folder) for folder in FOLDERS)
    command = ["env", f"PYTHONPATH={path}", sys.executable, "-B", "-c", SCRIPT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as owner:
        assert owner.stdout is not None
        folder, device = owner.stdout.readline().split()
        assert Path(folder).is_dir() and is_on_a_file(device) and Cgroups(Path(folder).name).processes()
        if number is not None:
            owner.send_signal(number)
        owner.communicate()
    wait_until(lambda: not Path(folder).exists(), 60, "the folder is gone")
    assert not is_on_a_file(device)
    assert Cgroups(Path(folder).name).remove() == []
