"""Whose volume a mount keeps when no process uses it: a genuine containerd tells which pods there are."""

import pytest
from lab import wait_until
from plexvol_host import NODE, Host, Reply
from pod_runtime import SOCKET, PodRuntime

UID = "6f1c1c1e-0123-4000-8000-0000000000a1"
OTHER = "6f1c1c1e-0123-4000-8000-0000000000a12"


def mount_attached(host: Host) -> None:
    """For the pod, as a kubelet does with attach true."""
    asked = host.options("pv-1", size="64Mi")
    host.attaching.must("attach", asked, NODE)
    host.attaching.must("mount", host.pod_dir("pv-1", UID), asked)


def unmount(host: Host) -> None:
    host.attaching.must("unmount", host.pod_dir("pv-1", UID))
    host.attaching.must("detach", "pv-1", NODE)


def refused_detach(host: Host, *naming: str) -> Reply:
    reply = host.attaching.refused("detach", "pv-1", NODE, naming=("volume pv-1 is in use on n1", UID, *naming))
    assert host.mounts() == [str(host.pod_dir("pv-1", UID))]
    return reply


@pytest.mark.finding("D1")
def test_a_crash_looping_pod_keeps_its_volume(host: Host, runtime: PodRuntime) -> None:
    """No process of it is anywhere, as between two restarts of its container."""
    sandbox = runtime.run(UID)
    mount_attached(host)
    reply = refused_detach(host, f"pod prod/db-0 (uid {UID})", "still exists", "delete the pod")
    assert "plexvol unmount" not in reply.message
    runtime.remove(sandbox)
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == []


@pytest.mark.finding("D1")
def test_a_subpath_of_a_crash_looping_pod_keeps_the_volume(host: Host, runtime: PodRuntime) -> None:
    """All that is left of the pod's mounts is the one of its container's subPath."""
    sandbox = runtime.run(UID)
    mount_attached(host)
    subpath = host.directory / "pods" / UID / "volume-subpaths/pv-1/db/0"
    subpath.mkdir(parents=True)
    host.machine.run("mount", "--bind", host.pod_dir("pv-1", UID), subpath)
    host.attaching.must("unmount", host.pod_dir("pv-1", UID))
    host.attaching.refused("detach", "pv-1", NODE, naming=("in use on n1", f"pod prod/db-0 (uid {UID})"))
    assert host.mounts() == [str(subpath)]
    runtime.remove(sandbox)
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == []


@pytest.mark.finding("D1")
def test_a_pod_whose_processes_do_not_use_the_volume_keeps_it(host: Host, runtime: PodRuntime) -> None:
    """Its cgroup tells, whether the runtime can be asked or not."""
    runtime.run(UID, in_pods_cgroup=True)
    mount_attached(host)
    refused_detach(host, f"pod prod/db-0 (uid {UID})", "whose processes are running")
    runtime.stop()
    refused_detach(host, f"pod uid {UID}", "whose processes are running")
    unmount(host)


@pytest.mark.finding("D1")
def test_a_pod_whose_sandbox_is_stopped_keeps_its_volume(host: Host, runtime: PodRuntime) -> None:
    """Its kubelet makes another one, and mounts nothing for it."""
    sandbox = runtime.run(UID)
    mount_attached(host)
    runtime.end_process_of(sandbox, UID)
    refused_detach(host, "prod/db-0", "sandbox is stopped", f"plexvol unmount {host.pod_dir('pv-1', UID)}")
    runtime.remove(sandbox)
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.finding("D1")
def test_while_the_runtime_is_silent_a_volume_is_kept(host: Host, runtime: PodRuntime) -> None:
    mount_attached(host)
    runtime.pause()
    refused_detach(host, "container runtime does not answer", f"{SOCKET}: no answer within 2 s")
    runtime.resume()
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == []


@pytest.mark.finding("D1")
def test_while_the_runtime_is_down_a_volume_is_kept(host: Host, runtime: PodRuntime) -> None:
    mount_attached(host)
    runtime.stop()
    refused_detach(host, "container runtime does not answer", f"{SOCKET}: Connection refused")
    runtime.forget_socket()
    refused_detach(host, "no container runtime was found", str(SOCKET), "runtime_sockets")
    runtime.start()
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == []


@pytest.mark.finding("D1")
def test_another_pods_sandbox_keeps_nothing(host: Host, runtime: PodRuntime) -> None:
    runtime.run(OTHER, in_pods_cgroup=True)
    mount_attached(host)
    host.attaching.must("detach", "pv-1", NODE)
    assert host.mounts() == []


@pytest.mark.finding("K5", "D1")
def test_a_deletion_takes_a_dead_pods_mount_down(host: Host, runtime: PodRuntime) -> None:
    sandbox = runtime.run(UID)
    pod = host.pod_dir("pv-1", UID)
    host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))
    refused = host.plexvol("volume", "delete", "pv-1")
    assert refused.returncode != 0 and f"pod prod/db-0 (uid {UID})" in refused.stderr
    assert host.mounts() == [str(pod)] and host.volume("pv-1")["attached_to"] == NODE
    runtime.remove(sandbox)
    host.delete("pv-1")
    assert host.mounts() == [] and host.volumes() == []


@pytest.mark.finding("K5")
def test_a_deletion_leaves_what_no_kubelet_mounted(host: Host) -> None:
    by_hand = host.device_dir("by-hand")
    host.mounting.must("mount", by_hand, host.options("pv-1", size="64Mi"))
    refused = host.plexvol("volume", "delete", "pv-1")
    assert refused.returncode != 0
    assert f"plexvol unmount {by_hand}" in refused.stderr
    host.mounting.must("unmount", by_hand)
    host.wait_detached("pv-1")


@pytest.mark.finding("D1")
def test_the_doctor_tells_whether_the_runtime_can_be_asked(host: Host, runtime: PodRuntime) -> None:
    def said() -> str:
        lines = host.plexvol("doctor").stdout.splitlines()
        return next(line for line in lines if "container runtime" in line)

    assert said().startswith("ok ")
    runtime.stop()
    assert said().startswith("warning ") and str(SOCKET) in said()
    runtime.start()


@pytest.mark.finding("K4")
def test_a_mount_that_its_kubelet_has_forgotten_is_taken_down(host: Host, runtime: PodRuntime) -> None:
    """A kubelet of 1.12 that is restarted while a pod is deleted removes its sandbox, and never calls unmount."""
    host.reconfigure(rebuild_seconds=4, ended_pod_seconds=1)
    pod = host.pod_dir("pv-1", UID)
    host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))
    wait_until(lambda: mounts_line(host).startswith("warning "), 60, "the doctor tells of the pod without a sandbox")
    subpath = host.directory / "pods" / UID / "volume-subpaths/pv-1/db/0"
    subpath.mkdir(parents=True)
    host.machine.run("mount", "--bind", pod, subpath)
    sandbox = runtime.run(UID)
    wait_until(lambda: mounts_line(host).startswith("ok "), 60, "the doctor tells that the pod has a sandbox")
    runtime.remove(sandbox)
    wait_until(lambda: host.mounts() == [], 60, "the volume is unmounted")
    wait_until(lambda: not pod.exists(), 60, "the directory is removed")
    host.wait_detached("pv-1")


@pytest.mark.finding("K4")
def test_a_pod_that_has_not_started_keeps_its_mount_and_is_told(host: Host, runtime: PodRuntime) -> None:
    """It may be waiting for another volume, and its kubelet does not mount this one a second time."""
    del runtime
    host.reconfigure(rebuild_seconds=4, ended_pod_seconds=1)
    pod = host.pod_dir("pv-1", UID)
    host.mounting.must("mount", pod, host.options("pv-1", size="64Mi"))

    def note() -> str:
        return str(host.volume("pv-1")["replicas"][0]["error"])

    wait_until(lambda: note() != "", 60, "the volume's note tells of the pod")
    for word in (f"pod uid {UID}", "no sandbox", f"`plexvol unmount {pod}`"):
        assert word in note()
    assert mounts_line(host).startswith("warning ") and str(pod) in mounts_line(host)
    assert host.mounts() == [str(pod)]
    host.mounting.must("unmount", pod)
    wait_until(lambda: note() == "" and mounts_line(host).startswith("ok "), 60, "nothing is told any more")


def mounts_line(host: Host) -> str:
    lines = host.plexvol("doctor").stdout.splitlines()
    return next(line for line in lines if "mounts of pods" in line)
