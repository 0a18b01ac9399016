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
