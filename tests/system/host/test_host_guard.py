"""A pod whose volume is gone from its directory: it cannot write there, and people are told."""

import json
import subprocess
from pathlib import Path

import pytest
from lab import wait_until
from plexvol_host import Host

UID = "6f0c2f9e-5d0e-4b57-9a46-0a9a3e7f0c11"


def pod_dir(host: Host, name: str = "pv-1") -> Path:
    path = host.directory / "kubelet" / "pods" / UID / "volumes" / "plexvol~plexvol" / name
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    return path


def error_of(host: Host, name: str = "pv-1") -> str:
    return str(host.volume(name)["replicas"][0]["error"])


def mount_and_lose(host: Host) -> Path:
    """As after the loser's way out of an arbitration: the agent unmounts, and the kubelet knows nothing of it."""
    pod = pod_dir(host)
    host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))
    host.machine.run("umount", host.loop_of("pv-1"))
    return pod


@pytest.mark.finding("D1")
def test_a_living_pod_without_its_volume_is_told(host: Host) -> None:
    pod = mount_and_lose(host)
    with pytest.raises(OSError):
        (host.see(pod) / "file").write_text("lost")
    wait_until(lambda: UID in error_of(host), 120, "the volume's state names the pod", interval=0.05)
    assert str(pod) in error_of(host) and "delete the pod" in error_of(host)
    assert "delete the pod" in host.log_path.read_text()

    # The kubelet of the pod that was deleted.
    host.mounting.must("unmount", pod)
    host.see(pod).rmdir()
    wait_until(lambda: error_of(host) == "", 120, "nothing is to be told any more", interval=0.05)


@pytest.mark.finding("D1", "K3")
def test_the_next_agent_tells_it_as_well(host: Host) -> None:
    """It learns from its state directory where the kubelet keeps its pods."""
    pod = mount_and_lose(host)
    host.restart()
    wait_until(lambda: UID in error_of(host), 120, "the volume's state names the pod", interval=0.05)
    # No pod is removed that is not proved dead.
    assert host.see(pod).is_dir()
    host.mounting.must("mount", pod, host.options("pv-1"))
    (host.see(pod) / "file").write_text("kept")
    wait_until(lambda: error_of(host) == "", 120, "nothing is to be told any more", interval=0.05)
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


@pytest.mark.finding("D1")
def test_uninstalling_the_driver_clears_guards_in_the_machines_own_mounts(host: Host) -> None:
    pod = mount_and_lose(host)
    words = ["--root", str(host.directory), "--plugin-dir", "/plugins"]
    words += ["--state-directory", str(host.directory / "state")]
    done = host.plexvol("driver", "uninstall", *words)
    assert done.returncode == 0, done.stderr
    host.see(pod).rmdir()
    host.wait_detached("pv-1")


@pytest.mark.finding("D1")
def test_a_mounted_pod_is_not_told(host: Host) -> None:
    pod = pod_dir(host)
    for turn in range(3):
        host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))
        (host.see(pod) / "file").write_text(json.dumps(turn))
        assert subprocess.run(["rmdir", host.see(pod)], capture_output=True).returncode != 0
        host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    assert "delete the pod" not in host.log_path.read_text()
