"""What Kubernetes does at the worst moment: the numbers are the facts of the FlexVolume contract."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from isolated import state_of
from lab import wait_until
from plexvol_host import NODE, Host, UnixConnection
from pod_runtime import PodRuntime


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


# Detach at the wrong moment (facts 42, 43, 46)


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


# Reboot (fact 40)


def test_after_a_reboot_waitforattach_brings_the_device_up(host: Host) -> None:
    asked, device = attach(host)
    folder = mount_device(host, asked, device)
    pod = host.pod_dir("pv-1")
    host.attaching.must("mount", pod, asked)
    host.see(pod / "file").write_text("kept")
    os.sync()
    host.reboot()
    assert host.mounts() == [] and host.loops() == {} and not host.devices.exists()
    host.start()
    # No attach: the controller takes it for attached.
    assert host.attaching.must("isattached", asked, NODE).json["attached"] is True
    assert host.attaching.must("waitforattach", device, asked).json["device"] == device
    assert Path(device).resolve() == Path(host.loop_of("pv-1"))
    host.attaching.must("mountdevice", folder, device, asked)
    host.attaching.must("mount", pod, asked)
    assert host.see(pod / "file").read_text() == "kept"
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_after_a_reboot_a_mount_finds_its_data(host: Host) -> None:
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    host.see(pod / "file").write_text("kept")
    os.sync()
    host.reboot()
    host.start()
    host.mounting.must("mount", pod, asked)
    assert host.see(pod / "file").read_text() == "kept"
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


# Options of another volume (fact 45)


def test_the_device_of_one_volume_with_the_options_of_another_is_refused(host: Host) -> None:
    """Two pods, each with an inline volume that it calls "data"."""
    first = host.options("data", volume="first", size="64Mi")
    second = host.options("data", volume="second", size="64Mi")
    device = host.attaching.must("attach", first, NODE).json["device"]
    host.create("second")
    before = host.wishes()
    host.attaching.refused("waitforattach", device, second, naming=(device, "first", "second"))
    folder = host.device_dir("data")
    host.attaching.refused("mountdevice", folder, device, second, naming=(device, "second"))
    assert host.mounts() == [] and host.wishes() == before
    assert host.attaching.must("waitforattach", device, first).json["device"] == device
    host.attaching.must("detach", "data", NODE)
    assert host.attaching.must("isattached", first, NODE).json["attached"] is False


@pytest.mark.parametrize(
    ("other", "naming"),
    [
        ({"size": "128Mi"}, ("128Mi", "64Mi")),
        ({"fs_type": "xfs"}, ("xfs", "ext4")),
        ({"pool": "silver"}, ("silver", "files")),
    ],
)
def test_options_that_speak_of_another_volume_are_refused(
    host: Host, other: dict[str, str], naming: tuple[str, ...]
) -> None:
    _, device = attach(host)
    host.mounting.refused("mount", host.pod_dir("pv-1"), host.options("pv-1", **other), naming=("pv-1", *naming))
    host.attaching.refused("waitforattach", device, host.options("pv-1", **other), naming=("pv-1", *naming))
    host.attaching.refused("attach", host.options("pv-1", **other), NODE, naming=("pv-1", *naming))
    host.attaching.must("detach", "pv-1", NODE)


def test_detach_finds_the_volume_by_the_name_it_was_attached_under(host: Host) -> None:
    asked = host.options("some.pv", volume="Database_1", size="64Mi")
    host.attaching.must("attach", asked, NODE)
    host.attaching.must("detach", "some.pv", NODE)
    assert host.volume("Database_1")["attached_to"] == ""


# Drivers and agents that end in the middle (facts 7 to 10)


def test_an_orphan_with_a_broken_pipe_does_no_harm(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    host.pause()
    call = host.attaching.start("attach", asked, NODE)
    wait_until(lambda: state_of(call.pid) == "S", 120, "attach waits for the agent")
    orphan = call.orphan()
    host.resume()
    device = host.attaching.must("attach", asked, NODE).json["device"]
    wait_until(lambda: state_of(orphan) in ("", "Z"), 120, "the orphan ends")
    folder = host.device_dir("pv-1")
    host.pause()
    call = host.attaching.start("mountdevice", folder, device, asked)
    wait_until(lambda: state_of(call.pid) == "S", 120, "mountdevice waits for the agent")
    orphan = call.orphan()
    host.resume()
    host.attaching.must("mountdevice", folder, device, asked)
    wait_until(lambda: state_of(orphan) in ("", "Z"), 120, "the orphan ends")
    assert host.mounts() == [str(folder)]
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_agent_killed_while_mount_calls_are_under_way(host: Host, chance: random.Random) -> None:
    """The driver is held at some moment, its agent dies, another one starts, the driver goes on."""
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    outcomes = []
    for turn in range(12):
        call = host.mounting.start("mount", pod, asked)
        pause(chance.uniform(0, 0.05))
        held = call.pause()
        host.kill()
        host.start()
        if held:
            call.resume()
        reply = call.wait()
        outcomes.append((held, reply.json["status"]))
        # Success and a mount are the same thing, also for the kubelet, which looks at the mount only (fact 27).
        assert host.mounts() == ([str(pod)] if reply.succeeded else []), f"turn {turn}: {reply.json}"
        host.mounting.must("mount", pod, asked)
        if turn:
            assert host.see(pod / "file").read_text() == f"turn {turn - 1}"
        host.see(pod / "file").write_text(f"turn {turn}")
        host.mounting.must("unmount", pod)
    print(outcomes)
    assert any(held for held, _ in outcomes), "no call was held: the moments are all too late"
    host.wait_detached("pv-1")


def test_an_agent_that_has_just_started_does_not_take_its_node_for_gone(host: Host) -> None:
    """Its own key in the store, by which others know that it lives, is not there in the first moment."""
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    with process_on(host, f"cd {pod}") as pid:
        for _ in range(10):
            host.restart()
            host.attaching.refused("detach", "pv-1", NODE, naming=f"process {pid} (sleep)")
    host.restart()
    host.create("pv-2")  # the node's pools are known at once, too
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    host.attaching.must("detach", "pv-1", NODE)


def test_a_call_id_of_a_former_agent_is_refused(host: Host) -> None:
    attach(host)
    folder = host.device_dir("pv-1")
    connection, call_id = begin_mount(host, "pv-1", folder)
    host.restart()
    connection.close()
    reply = host.connect().post("mounted", {"call_id": call_id, "target": str(folder), "mounted": True})
    assert reply["error"]["code"] == "Conflict" and str(folder) in reply["error"]["message"]
    host.attaching.must("detach", "pv-1", NODE)


def test_unmounts_need_no_agent(host: Host) -> None:
    asked, device = attach(host)
    folder, pod = mount_device(host, asked, device), host.pod_dir("pv-1")
    host.attaching.must("mount", pod, asked)
    other, its_pod = host.options("pv-2", size="64Mi"), host.pod_dir("pv-2")
    host.mounting.must("mount", its_pod, other)
    host.kill()
    for driver, call, target in (
        (host.attaching, "unmount", pod),
        (host.attaching, "unmountdevice", folder),
        (host.mounting, "unmount", its_pod),
    ):
        reply = driver.must(call, target)
        assert reply.seconds < 10
        driver.must(call, target)
    assert host.mounts() == []
    # The next agent sees what has become of it.
    host.start()
    host.wait_detached("pv-2")
    assert host.volume("pv-1")["attached_to"] == NODE
    host.attaching.must("detach", "pv-1", NODE)


def test_unmount_of_what_is_not_mounted_or_not_there_succeeds(host: Host) -> None:
    empty, missing = host.pod_dir("pv-1"), host.directory / "pods/none/pv-1"
    for driver in (host.attaching, host.mounting):
        for call in ("unmount", "unmountdevice"):
            driver.must(call, empty)
            driver.must(call, missing)
    host.stop()
    host.mounting.must("unmount", empty)
    host.mounting.must("unmount", missing)


@pytest.mark.parametrize("call", ["attach", "waitforattach", "mountdevice", "mount", "detach"])
def test_sigterm_ends_a_waiting_call(host: Host, call: str) -> None:
    asked, device = attach(host)
    folder, pod = host.device_dir("pv-1"), host.pod_dir("pv-1")
    arguments: dict[str, tuple[str | Path, ...]] = {
        "attach": (asked, NODE),
        "waitforattach": (device, asked),
        "mountdevice": (folder, device, asked),
        "mount": (pod, asked),
        "detach": ("pv-1", NODE),
    }
    host.pause()
    running = host.attaching.start(call, *arguments[call])
    wait_until(lambda: state_of(running.pid) == "S", 120, "the call waits for the agent")
    assert running.kill(signal.SIGTERM) != 0
    host.resume()
    assert host.mounts() == []
    wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "detach is not refused for ever")


def test_a_call_waits_for_an_agent_that_starts_late(host: Host) -> None:
    host.stop()
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    call = host.mounting.start("mount", pod, asked)
    wait_until(lambda: state_of(call.pid) == "S", 120, "the call waits")
    host.start()
    reply = call.wait()
    assert reply.succeeded, reply.message
    assert host.mounts() == [str(pod)]
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


def test_a_call_outlives_an_upgrade_of_the_agent(host: Host) -> None:
    asked, device = attach(host)
    host.pause()
    call = host.attaching.start("waitforattach", device, asked)
    wait_until(lambda: state_of(call.pid) == "S", 120, "the call waits")
    host.restart()
    reply = call.wait()
    assert reply.succeeded and reply.json["device"] == device, reply.json
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.parametrize("agent", ["absent", "stopped"])
def test_the_driver_bounds_every_call(host: Host, agent: str) -> None:
    """Its callers have no time limit (fact 7), and waitforattach's is deadly for them (fact 8)."""
    asked, device = attach(host)
    folder, pod = host.device_dir("pv-1"), host.pod_dir("pv-1")
    host.attaching.must("detach", "pv-1", NODE)
    if agent == "absent":
        host.stop()
    else:
        host.pause()
    calls = [
        host.hasty.start(*arguments)
        for arguments in (
            ("attach", asked, NODE),
            ("waitforattach", device, asked),
            ("mountdevice", folder, device, asked),
            ("mount", pod, asked),
            ("detach", "pv-1", NODE),
        )
    ]
    for call in calls:
        reply = call.wait()
        assert reply.json["status"] == "Failure"
        assert str(host.socket) in reply.message
        assert reply.seconds < 4
    # In doubt it is: one failing answer voids those of all other volumes of the node (fact 34).
    assert host.hasty.must("isattached", asked, NODE).json["attached"] is True
    if agent == "stopped":
        host.resume()
        wait_until(lambda: host.volume("pv-1")["attached_to"] in ("", NODE), 120, "the agent is awake")
        wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "it is detached")
    assert host.mounts() == []


def test_a_failed_mount_leaves_nothing_mounted(host: Host) -> None:
    """mount(2) itself fails: the kernel does not know the option for this file system."""
    asked = host.options("pv-1", size="64Mi", mountOptions="inode64")
    pod = host.pod_dir("pv-1")
    host.mounting.refused("mount", pod, asked, naming=(str(pod), "pv-1"))
    assert host.mounts() == []
    host.wait_detached("pv-1")
    host.mounting.must("mount", pod, host.options("pv-1"))
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
