"""Detach at the wrong moment: the numbers are the facts of the FlexVolume contract (42, 43, 46)."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from host_calls import attach, begin_mount, mount_device, mount_for_pod, process_on
from lab import wait_until
from plexvol_host import NODE, Host
from pod_runtime import PodRuntime


def test_detach_is_refused_while_a_mount_call_is_under_way(host: Host) -> None:
    asked, device = attach(host)
    folder = host.device_dir("pv-1")
    connection, call_id = begin_mount(host, "pv-1", folder)
    host.attaching.refused("detach", "pv-1", NODE, naming=("pv-1", "mount", "is being mounted", NODE))
    assert host.attaching.must("isattached", asked, NODE).json["attached"] is True
    # The late mount(2) finds the same device and nothing lost.
    host.machine.run("mount", device, folder)
    host.see(folder / "file").write_text("kept")
    assert "result" in connection.post("mounted", {"call_id": call_id, "target": str(folder), "mounted": True})
    connection.close()
    assert host.see(folder / "file").read_text() == "kept"
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_a_mount_call_ends_with_its_callers_connection(host: Host) -> None:
    attach(host)
    connection, _ = begin_mount(host, "pv-1", host.device_dir("pv-1"))
    host.attaching.refused("detach", "pv-1", NODE, naming="is being mounted")
    connection.close()
    wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "detach is no longer refused")


def test_detach_at_any_moment_of_mountdevice(host: Host, chance: random.Random) -> None:
    """The driver is held at some moment, detach comes, the driver goes on: one of the two has its way, wholly."""
    folder, pod = host.device_dir("pv-1"), host.pod_dir("pv-1")
    written = ""
    refused = 0
    for turn in range(12):
        asked, device = attach(host)
        call = host.attaching.start("mountdevice", folder, device, asked)
        pause(chance.uniform(0, 0.04))
        held = call.pause()
        detached = host.attaching.call("detach", "pv-1", NODE)
        if held:
            call.resume()
        mounted = call.wait()
        story = f"turn {turn}, held: {held}, detach: {detached.json}, mountdevice: {mounted.json}"
        print(story)
        attached = host.attaching.must("isattached", asked, NODE).json["attached"]
        if detached.succeeded:
            # Also when mountdevice had done all but say so.
            assert host.mounts() == [] and attached is False, story
            host.attaching.refused("mount", pod, asked, naming="not attached")
            continue
        refused += 1
        assert mounted.succeeded and host.mounts() == [str(folder)] and attached is True, story
        host.attaching.must("mount", pod, asked)
        if written:
            assert host.see(pod / "file").read_text() == written, story
        written = story
        host.see(pod / "file").write_text(written)
        host.attaching.must("unmount", pod)
        host.attaching.must("unmountdevice", folder)
        host.attaching.must("detach", "pv-1", NODE)
    print(f"{refused} of 12 refused")


def test_what_was_detached_is_attached_again_by_attach_only(host: Host) -> None:
    """The controller detaches between mountdevice and mount (p1), and never again: nothing may be left attached."""
    asked, device = attach(host)
    folder, pod = mount_device(host, asked, device), host.pod_dir("pv-1")
    host.attaching.must("detach", "pv-1", NODE)
    host.attaching.refused("mount", pod, asked, naming=("pv-1", "not attached", NODE))
    host.attaching.refused("mountdevice", folder, device, asked, naming=("pv-1", "not attached", NODE))
    host.attaching.refused("waitforattach", device, asked, naming=("pv-1", "not attached", NODE))
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    assert host.attaching.must("isattached", asked, NODE).json["attached"] is False
    attach(host)
    mount_device(host, asked, device)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def pause(seconds: float) -> None:
    """Not to wait for something: the moment itself is what is tried."""
    time.sleep(seconds)


USES = {
    "open file": "exec 3>{dir}/file",
    "working directory": "cd {dir}",
    "device": "exec 3<{device}",
}


@pytest.mark.parametrize("use", USES)
def test_detach_is_refused_while_a_process_uses_the_volume(host: Host, use: str) -> None:
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    host.see(pod / "kept").write_text("kept")
    with process_on(host, USES[use].format(dir=pod, device=device)) as pid:
        host.attaching.refused("detach", "pv-1", NODE, naming=("pv-1", f"process {pid} (sleep)", NODE))
        assert host.see(pod / "kept").read_text() == "kept"
        assert host.attaching.must("isattached", asked, NODE).json["attached"] is True
        # The refused request must not come true later.
        assert "release" not in host.keys()["attachments/pv-1"]
    assert sorted(host.mounts()) == sorted([str(folder), str(pod)])
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.finding("S6")
def test_the_name_of_a_pods_process_steers_no_terminal(host: Host) -> None:
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    hostile = host.directory / "\x1b]0;x\u009b2J"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", hostile)
    script = f'exec 3>{pod}/file; echo ready; exec "$0" 1000'
    process = host.machine.popen(["sh", "-c", script, hostile], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def is_refused_by_name() -> bool:
            reply = host.attaching.call("detach", "pv-1", NODE)
            return "(?]0;x?2J)" in reply.message.replace("??", "?")

        wait_until(is_refused_by_name, 120, "the process has its name")
        shown = host.plexvol("volume", "show", "pv-1")
        assert "]0;x" in shown.stdout
        for text in (shown.stdout.encode(), host.log_path.read_bytes()):
            assert b"\x1b" not in text and "\u009b".encode() not in text
    finally:
        os.kill(host.machine.started_by(process), signal.SIGKILL)
        process.communicate()
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_detach_is_refused_while_another_mount_namespace_has_it_mounted(host: Host) -> None:
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    with process_on(host, ":", "unshare", "--mount") as pid:
        # The host's own mounts go; the other one holds the device.
        host.attaching.must("unmount", pod)
        host.attaching.must("unmountdevice", folder)
        assert host.mounts() == []
        naming = (f"process {pid} (sleep)", str(pod), "in its own mount namespace")
        host.attaching.refused("detach", "pv-1", NODE, naming=naming)
    wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "detach is no longer refused")


def test_a_volume_in_use_elsewhere_is_kept_by_its_last_unmount(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    pod = host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    with process_on(host, ":", "unshare", "--mount") as pid:
        host.mounting.must("unmount", pod)

        def says_why() -> bool:
            return f"process {pid} (sleep)" in host.volume("pv-1")["replicas"][0]["error"]

        wait_until(says_why, 120, "the volume's state names the process")
        assert host.volume("pv-1")["attached_to"] == NODE
    host.wait_detached("pv-1")


def test_left_over_mounts_that_nobody_uses_are_cleaned_on_detach(host: Host, runtime: PodRuntime) -> None:
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    host.see(pod / "file").write_text("kept")
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == [] and list(host.devices.iterdir()) == []
    attach(host)
    mount_for_pod(host, asked, device)
    assert host.see(pod / "file").read_text() == "kept"
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_detach_of_what_is_not_attached_or_not_known_succeeds(host: Host) -> None:
    host.create("pv-1")
    before = host.wishes()
    host.attaching.must("detach", "pv-1", NODE)
    host.attaching.must("detach", "pv-2", NODE)
    host.attaching.must("detach", "pv-1", "n2")
    assert host.wishes() == before
