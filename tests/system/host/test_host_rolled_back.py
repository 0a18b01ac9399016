"""A node whose own store is lost, and whose replicas are not."""

import shutil

import pytest
from lab import wait_until
from plexvol_host import Host


def apply_repair(host: Host, *arguments: str) -> str:
    done = host.plexvol("store", "repair", "--apply", *arguments)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.finding("D19")
def test_a_store_that_was_lost_is_told_of_the_volumes_again(host: Host) -> None:
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    (host.see(pod) / "data").write_text("kept")
    images = host.loops()
    host.stop()
    shutil.rmtree(host.directory / "store")
    host.start()
    # Nothing is taken for a stranger's, and nothing is made in its place.
    wait_until(lambda: "store/rolled-back" in host.keys(), 60, "the agent says what is wrong")
    refused = host.plexvol("volume", "create", "pv-1", "--size", "64Mi")
    assert refused.returncode == 1 and "plexvol store repair" in refused.stderr, refused
    assert host.loops() == images
    assert (host.see(pod) / "data").read_text() == "kept"
    doctor = host.plexvol("doctor").stdout
    assert "FAULT    store's age" in doctor, doctor
    shown = host.plexvol("store", "repair")
    assert shown.returncode == 0 and "recorded again" in shown.stdout, shown
    assert "current/pv-1" not in host.keys()
    assert "repaired" in apply_repair(host)
    assert host.volumes() == ["pv-1"]
    # The pod that has it goes on; the next one mounts the same data.
    other = host.pod_dir("pv-1", "pod2")
    host.mounting.must("mount", other, asked)
    assert (host.see(other) / "data").read_text() == "kept"
    for mounted in (pod, other):
        host.mounting.must("unmount", mounted)
    host.wait_detached("pv-1")
    wait_until(lambda: not any(key.startswith("acted") for key in host.keys()), 60, "what was said is taken back")
    host.delete("pv-1")
    assert list((host.directory / "state" / "acted").iterdir()) == []
