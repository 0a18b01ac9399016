"""After a reboot (fact 40 of the FlexVolume contract), and with options of another volume (fact 45)."""

import os
from pathlib import Path

import pytest
from host_calls import attach, mount_device
from plexvol_host import NODE, Host


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
