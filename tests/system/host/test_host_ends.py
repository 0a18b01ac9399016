"""Drivers and agents that end in the middle of a call (facts 7 to 10 of the FlexVolume contract)."""

import random
import signal
import time
from pathlib import Path

import pytest
from host_calls import attach, begin_mount, mount_device, mount_for_pod, process_on
from isolated import state_of
from lab import wait_until
from plexvol_host import NODE, Host


def pause(seconds: float) -> None:
    """Not to wait for something: the moment itself is what is tried."""
    time.sleep(seconds)


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
