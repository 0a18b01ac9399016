"""A volume under several names on a node, and a name for several volumes."""

from pathlib import Path

import pytest
from plexvol_host import NODE, Host


def references(host: Host, path: Path) -> list[str]:
    """GetMountRefs of Kubernetes: while there are any, a kubelet does not call unmountdevice."""
    lines = [line.split() for line in Path(f"/proc/{host.machine.init}/mountinfo").read_text().splitlines()]
    own = [fields for fields in lines if fields[4] == str(path)][-1]
    return [fields[4] for fields in lines if fields[2:4] == own[2:4] and fields[0] != own[0]]


@pytest.mark.finding("K1")
def test_one_volume_under_two_names_is_unmounted_and_detached(host: Host) -> None:
    """As examples/pv-pvc-pod.yaml and read-only.yaml use one: a PersistentVolume, and a volume named in a pod."""
    driver = host.attaching
    options = {"pv-1": host.options("pv-1", size="64Mi"), "data": host.options("data", readwrite="ro", volume="pv-1")}
    for name, asked in options.items():
        device = driver.must("attach", asked, NODE).json["device"]
        assert device == host.device("pv-1")
        driver.must("waitforattach", device, asked)
        driver.must("mountdevice", host.device_dir(name), device, asked)
        driver.must("mount", host.pod_dir(name), asked)
    (host.see(host.pod_dir("pv-1")) / "file").write_text("of both")
    assert (host.see(host.pod_dir("data")) / "file").read_text() == "of both"

    driver.must("unmount", host.pod_dir("pv-1"))
    assert references(host, host.device_dir("pv-1")) == [], "the reader must not keep the writer's name"
    driver.must("unmountdevice", host.device_dir("pv-1"))
    driver.must("detach", "pv-1", NODE)
    assert host.volume("pv-1")["attached_to"] == NODE, "the other name still needs it"
    assert (host.see(host.pod_dir("data")) / "file").read_text() == "of both"
    driver.must("unmount", host.pod_dir("data"))
    driver.must("unmountdevice", host.device_dir("data"))
    driver.must("detach", "data", NODE)
    assert host.volume("pv-1")["attached_to"] == "" and host.mounts() == []


@pytest.mark.finding("K1")
def test_a_detach_takes_what_mountdevice_left(host: Host) -> None:
    """Contract fact 42: a kubelet of 1.12 that was down calls neither unmount nor unmountdevice."""
    asked = host.options("pv-1", size="64Mi")
    device = host.attaching.must("attach", asked, NODE).json["device"]
    host.attaching.must("mountdevice", host.device_dir("pv-1"), device, asked)
    assert host.volume("pv-1")["attached_to"] == NODE
    assert host.mounts() == [str(host.device_dir("pv-1"))]
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == [] and host.volume("pv-1")["attached_to"] == ""


@pytest.mark.finding("K2", "S6")
def test_a_name_of_an_attached_volume_is_not_given_to_another(host: Host) -> None:
    """Two pods of a node with an inline volume of one name, and a controller-manager that has forgotten the first."""
    driver = host.attaching
    first, second = (host.options("data", volume=volume, size="64Mi") for volume in ("one", "two"))
    driver.must("attach", first, NODE)
    for call in (("attach", second, NODE), ("attach", second, NODE)):
        driver.refused(*call, naming=("two", "one", "data", NODE, "different names"))
    assert host.volume("two")["attached_to"] == ""
    driver.must("attach", first, NODE)
    driver.must("detach", "data", NODE)
    assert host.volume("one")["attached_to"] == ""
    driver.must("attach", second, NODE)
    driver.must("detach", "data", NODE)
    assert host.volume("two")["attached_to"] == ""


@pytest.mark.finding("S6")
def test_a_name_that_is_no_longer_needed_is_free(host: Host) -> None:
    """Without attach calls two pods of a node may use one name for different volumes; detach never comes."""
    pods = {volume: host.pod_dir("data", volume) for volume in ("one", "two")}
    for volume, pod in pods.items():
        host.mounting.must("mount", pod, host.options("data", volume=volume, size="64Mi"))
    # Attached on the fly: now the name is needed, and the end of the other one does not take it away.
    host.attaching.must("attach", host.options("data", volume="one"), NODE)
    host.mounting.must("unmount", pods["two"])
    host.wait_detached("two")
    host.mounting.must("mount", pods["two"], host.options("data", volume="two"))
    host.mounting.must("unmount", pods["two"])
    host.wait_detached("two")
    host.mounting.must("unmount", pods["one"])
    assert host.volume("one")["attached_to"] == NODE
    host.attaching.must("detach", "data", NODE)
    assert host.volume("one")["attached_to"] == ""


@pytest.mark.finding("K9")
def test_another_agents_device_directory_is_no_reason_to_refuse(host: Host) -> None:
    """Attach is asked of the agent beside the controller-manager."""
    driver, asked, folder = host.attaching, host.options("pv-1", size="64Mi"), host.device_dir("pv-1")
    driver.must("attach", asked, NODE)
    own = host.device("pv-1")
    for device in ("/dev/elsewhere/pv-1", own, ""):
        assert driver.must("waitforattach", device, asked).json["device"] == own
        driver.must("mountdevice", folder, device, asked)
        driver.must("unmountdevice", folder)
    for device in ("/dev/elsewhere/pv-2", "/dev/plexvol/pv-1/", own + "1"):
        driver.refused("waitforattach", device, asked, naming=(device, "pv-1", own))
    driver.must("detach", "pv-1", NODE)
