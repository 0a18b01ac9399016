"""The calls that begin most tests: a volume is attached, and mounted for a pod."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plexvol_host import NODE, Host, UnixConnection


def attach(host: Host, name: str = "pv-1", **own: str) -> tuple[str, str]:
    """The options and the device of a volume that was attached."""
    asked = host.options(name, size="64Mi", **own)
    device = str(host.attaching.must("attach", asked, NODE).json["device"])
    assert host.attaching.must("waitforattach", device, asked).json["device"] == device
    return asked, device


def mount_device(host: Host, asked: str, device: str) -> Path:
    folder = host.device_dir(Path(device).name)
    host.attaching.must("mountdevice", folder, device, asked)
    return folder


def mount_for_pod(host: Host, asked: str, device: str) -> tuple[Path, Path]:
    """The kubelet's directory of the device, which is not the device, and a pod's, which is."""
    folder, pod = mount_device(host, asked, device), host.pod_dir(Path(device).name)
    host.attaching.must("mount", pod, asked)
    return folder, pod


def begin_mount(host: Host, name: str, target: Path) -> tuple[UnixConnection, str]:
    """As the driver asks just before it calls mount(2); the call lasts as long as the connection."""
    connection = host.connect()
    options = {"kubernetes.io/pvOrVolumeName": name, "size": "64Mi"}
    body = {"options": options, "target": str(target), "device": host.device(name), "attached_before": True}
    reply = connection.post("mount", body)
    assert "result" in reply, reply
    return connection, reply["result"]["call_id"]


@contextmanager
def process_on(host: Host, script: str, *before: str) -> Iterator[int]:
    """A shell that does something and stays; its pid as the machine sees it."""
    argv = [*before, "sh", "-c", f"{script}; echo ready; exec sleep 1000"]
    process = host.machine.popen(argv, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        outer = host.machine.started_by(process)
        inner = Path(f"/proc/{outer}/status").read_text().partition("NSpid:")[2].splitlines()[0].split()[-1]
        yield int(inner)
    finally:
        os.kill(host.machine.started_by(process), signal.SIGKILL)
        process.communicate()
