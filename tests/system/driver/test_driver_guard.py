"""A pod's directory that no volume is mounted on cannot be written to; a kubelet's directory of a device is no reference to
the device."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disk, lock_of, mounts, mounts_on, run, wait_until
from fake_agent import HANG, FakeAgent, error, result
from lone_driver import OPTIONS_TEXT, Driver

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root"), pytest.mark.usefixtures("willing")]

UID = "6f0c2f9e-5d0e-4b57-9a46-0a9a3e7f0c11"
GUARD = "plexvol-guard:pv-1"


@pytest.fixture(params=["flag", "tmpfs"])
def kubelet(driver: Driver, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A kubelet's directory on a file system that knows the immutable flag, or on one that does not."""
    directory = driver.directory / "kubelet"
    directory.mkdir()
    below = Disk(driver.directory, "root") if request.param == "flag" else None
    if below is None:
        run("mount", "-t", "ramfs", "ramfs", str(directory))
    else:
        run("mount", below.device, str(directory))
    yield directory
    while here := [mount[2] for mount in mounts() if f"{mount[2]}/".startswith(f"{directory}/")]:
        run("umount", here[-1])
    if below is not None:
        below.remove()


@pytest.fixture
def pod(kubelet: Path) -> Path:
    return kubelet / "pods" / UID / "volumes" / "plexvol~plexvol" / "pv-1"


@pytest.fixture
def device_dir(kubelet: Path) -> Path:
    return kubelet / "plugins" / "kubernetes.io" / "flexvolume" / "plexvol" / "plexvol" / "mounts" / "pv-1"


def is_flagged(path: Path) -> bool:
    done = subprocess.run(["lsattr", "-d", str(path)], capture_output=True, text=True)
    return done.returncode == 0 and "i" in done.stdout.split()[0]


def guards_on(path: Path) -> list[str]:
    source = run("findmnt", "-n", "-o", "SOURCE", "--mountpoint", str(path)) if mounts_on(path) else ""
    return [line for line in source.splitlines() if line == GUARD]


def is_guarded(path: Path) -> bool:
    return is_flagged(path) or guards_on(path) != []


def leave_guard(path: Path) -> None:
    """As a call does that is killed, with its child, before it mounts."""
    path.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode != 0:
        run("mount", "-t", "tmpfs", "-o", "ro,size=4k", GUARD, str(path))
    assert is_guarded(path)


def remove_as_a_kubelet(path: Path) -> None:
    assert mounts_on(path) == []
    path.rmdir()


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


@pytest.mark.finding("D1")
def test_what_writes_to_a_directory_without_its_volume_gets_an_error(driver: Driver, disk: Disk, pod: Path) -> None:
    """A container that starts after somebody has unmounted the volume: no call comes for it (contract fact 31)."""
    driver.must("mount", str(pod), OPTIONS_TEXT)
    (pod / "data").write_text("of the volume")
    run("umount", disk.device)
    assert list(pod.iterdir()) == []
    for write in (lambda: (pod / "data").write_text("lost"), lambda: (pod / "folder").mkdir(), lambda: pod.rmdir()):
        with pytest.raises(OSError):
            write()
    assert list(pod.iterdir()) == []
    driver.must("unmount", str(pod))
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_a_volume_is_mounted_on_a_guarded_directory_and_used(driver: Driver, agent: FakeAgent, disk: Disk,
                                                             pod: Path) -> None:
    """Written to, and chowned by the kubelet for an fsGroup (contract fact 30); repeated; read-only."""
    for _ in range(2):
        driver.must("mount", str(pod), OPTIONS_TEXT)
    (pod / "data").write_text("x")
    os.chown(pod, 0, 1234)
    pod.chmod(0o2775)
    assert [mount[0] for mount in mounts_on(pod)][-1] == disk.major_minor
    before = len(mounts_on(pod))
    driver.must("unmount", str(pod))
    agent.answers["/v1/mount"] = result(disk.reply(read_only=True))
    driver.must("mount", str(pod), OPTIONS_TEXT)
    assert (pod / "data").read_text() == "x" and len(mounts_on(pod)) == before
    driver.must("unmount", str(pod))
    driver.must("unmount", str(pod))
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_a_mount_on_a_guard_that_was_left_behind_adds_no_second_one(driver: Driver, disk: Disk, pod: Path) -> None:
    """After a reboot the flag is still there; after an unmount by the agent the tmpfs is."""
    leave_guard(pod)
    driver.must("mount", str(pod), OPTIONS_TEXT)
    assert len(mounts_on(pod)) <= 2 and mounts_on(pod)[-1][0] == disk.major_minor
    run("umount", disk.device)
    assert is_guarded(pod)
    driver.must("mount", str(pod), OPTIONS_TEXT)
    assert len(mounts_on(pod)) <= 2
    driver.must("unmount", str(pod))
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
@pytest.mark.parametrize("changes", [{"fs_type": "xfs"}, {"data": "nosuchoption"}, {"device": "/dev/null"}])
def test_a_mount_that_fails_leaves_no_guard(driver: Driver, agent: FakeAgent, disk: Disk, pod: Path,
                                            changes: dict[str, str]) -> None:
    """Else the kubelet could not remove the directory, and would take the tmpfs for the volume (contract fact 27)."""
    agent.answers["/v1/mount"] = result(disk.reply(**changes))
    assert driver.run("mount", str(pod), OPTIONS_TEXT).message
    assert not pod.exists() or not is_guarded(pod)
    assert mounts_on(pod) == []


@pytest.mark.finding("D1")
def test_a_mount_that_the_agent_does_not_agree_to_leaves_no_guard(driver: Driver, agent: FakeAgent, disk: Disk,
                                                                  pod: Path) -> None:
    agent.answers["/v1/mounted"] = error("Conflict", "pv-1 was taken over by n2")
    assert "taken over" in driver.run("mount", str(pod), OPTIONS_TEXT).message
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_a_refused_mount_removes_a_guard_that_was_left_behind(driver: Driver, agent: FakeAgent, pod: Path) -> None:
    """No unmount comes for a mount that never was, and kubelets wait for the directory of a deleted pod for ever."""
    leave_guard(pod)
    agent.answers["/v1/mount"] = error("Conflict", "pv-1 is attached to n2")
    assert "attached to n2" in driver.run("mount", str(pod), OPTIONS_TEXT).message
    assert not pod.exists()


@pytest.mark.finding("D1")
def test_a_refused_mount_leaves_what_is_not_empty_guarded(driver: Driver, agent: FakeAgent, pod: Path) -> None:
    pod.mkdir(parents=True)
    (pod / "lost").write_text("written by an earlier release")
    leave_guard(pod)
    agent.answers["/v1/mount"] = error("Conflict", "pv-1 is attached to n2")
    assert "attached to n2" in driver.run("mount", str(pod), OPTIONS_TEXT).message
    assert is_guarded(pod)
    driver.must("unmount", str(pod))
    assert (pod / "lost").read_text() == "written by an earlier release"


@pytest.mark.finding("D1")
def test_an_unmount_of_a_guarded_directory_without_a_volume_clears_it(driver: Driver, pod: Path) -> None:
    leave_guard(pod)
    driver.must("unmount", str(pod))
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_a_call_that_is_killed_takes_its_guard_along(driver: Driver, agent: FakeAgent, disk: Disk, pod: Path) -> None:
    agent.answers["/v1/mounted"] = HANG
    process = driver.start("mount", str(pod), OPTIONS_TEXT)
    wait_until(lambda: "/v1/mounted" in agent.paths(), "the call mounts")
    assert mounts_on(pod)
    process.kill()
    process.communicate(timeout=60)
    assert agent.requests[0].closed.wait(60), "the end of its child"
    assert not lock_of(pod).exists()
    remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_whenever_a_call_and_its_child_are_killed_the_next_one_clears_up(driver: Driver, disk: Disk, pod: Path) -> None:
    chance = random.Random(os.environ.get("PLEXVOL_SEED", "1"))
    for turn in range(40):
        process = driver.start("mount", str(pod), OPTIONS_TEXT)
        time.sleep(chance.uniform(0, 0.025))  # the moment itself is what is tried
        for pid in [*children_of(process.pid), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.communicate(timeout=60)
        if turn % 2:
            driver.must("mount", str(pod), OPTIONS_TEXT)
            assert mounts_on(pod)[-1][0] == disk.major_minor
            assert len(mounts_on(pod)) <= 2
        driver.must("unmount", str(pod))
        assert mounts_on(pod) == []
        if pod.exists():
            remove_as_a_kubelet(pod)


@pytest.mark.finding("D1")
def test_a_tmpfs_of_somebody_else_is_left_alone(driver: Driver, disk: Disk, pod: Path) -> None:
    pod.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "plexvol", str(pod))
    assert "which is no volume" in driver.run("unmount", str(pod)).message
    assert "unmount it first" in driver.run("mount", str(pod), OPTIONS_TEXT).message
    assert len(mounts_on(pod)) == 1


@pytest.mark.finding("D1")
def test_only_directories_of_pods_are_guarded(driver: Driver, disk: Disk, kubelet: Path, device_dir: Path) -> None:
    """Kubelets remove the directories of devices by themselves, without a call."""
    for target in (device_dir, kubelet / "pods" / "pv-1", kubelet / "volumes" / "plexvol~plexvol" / "pv-1"):
        driver.must("mount", str(target), OPTIONS_TEXT)
        run("umount", str(target))
        remove_as_a_kubelet(target)


@pytest.mark.finding("D1")
def test_uninstalling_leaves_no_guard_behind(driver: Driver, disk: Disk, kubelet: Path, pod: Path) -> None:
    """Nobody else would take it away. It is refused as long as a volume is mounted, and guards are none."""
    leave_guard(pod)
    proc, state = driver.directory / "proc", driver.directory / "state"
    (proc / "1").mkdir(parents=True)
    state.mkdir()
    (state / "kubelets").write_text(f"/elsewhere/pods\n/{kubelet.name}/pods\n")
    arguments = ["driver", "uninstall", "--root", str(driver.directory), "--plugin-dir", "/plugins", "--proc", str(proc),
                 "--state-directory", "/state"]

    def uninstall() -> int:
        (proc / "1" / "mountinfo").write_text(Path("/proc/self/mountinfo").read_text())
        return driver.run(*arguments).status

    driver.must("mount", str(pod), OPTIONS_TEXT)
    assert uninstall() == 1
    run("umount", disk.device)
    assert is_guarded(pod)
    for _ in range(2):
        assert uninstall() == 0
        assert not is_guarded(pod)
    remove_as_a_kubelet(pod)


# What a kubelet sees of its directory of a device. Its checks are those of Kubernetes 1.12 and 1.20.


def counts_as_mounted(path: Path) -> bool:
    """IsLikelyNotMountPoint: else mountdevice is called again and again, and unmountdevice never."""
    return path.stat().st_dev != path.parent.stat().st_dev


def references_of(path: Path) -> list[str]:
    """GetMountRefs: while there are any, unmountdevice is refused ("GetDeviceMountRefs check failed")."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    own = [fields for fields in lines if fields[4] == str(path)][-1]
    return [fields[4] for fields in lines if fields[2:4] == own[2:4] and fields[0] != own[0]]


@pytest.mark.finding("K1")
def test_two_names_of_one_volume_do_not_hold_each_other(driver: Driver, disk: Disk, kubelet: Path, device_dir: Path,
                                                        pod: Path) -> None:
    other_dir, other_pod = device_dir.with_name("data"), pod.parents[3] / "other/volumes/plexvol~plexvol/data"
    other_options = json.dumps({**json.loads(OPTIONS_TEXT), "kubernetes.io/pvOrVolumeName": "data", "volume": "pv-1"})
    for directory, own_pod, options in ((device_dir, pod, OPTIONS_TEXT), (other_dir, other_pod, other_options)):
        for _ in range(2):
            driver.must("mountdevice", str(directory), str(disk.link), options)
        assert counts_as_mounted(directory) and references_of(directory) == []
        assert len(mounts_on(directory)) == 1
        driver.must("mount", str(own_pod), options)
        assert mounts_on(own_pod)[-1][0] == disk.major_minor
    (pod / "file").write_text("of one volume")
    assert (other_pod / "file").read_text() == "of one volume"
    for directory, own_pod in ((device_dir, pod), (other_dir, other_pod)):
        driver.must("unmount", str(own_pod))
        assert references_of(directory) == []
        driver.must("unmountdevice", str(directory))
        assert not counts_as_mounted(directory)
        remove_as_a_kubelet(directory)


@pytest.mark.finding("K1")
def test_a_device_that_an_earlier_release_has_mounted_counts(driver: Driver, disk: Disk, other_disk: Disk,
                                                             device_dir: Path) -> None:
    device_dir.mkdir(parents=True)
    run("mount", disk.device, str(device_dir))
    driver.must("mountdevice", str(device_dir), str(disk.link), OPTIONS_TEXT)
    assert len(mounts_on(device_dir)) == 1
    driver.must("unmountdevice", str(device_dir))
    run("mount", other_disk.device, str(device_dir))
    assert other_disk.device in driver.run("mountdevice", str(device_dir), str(disk.link), OPTIONS_TEXT).message


@pytest.mark.finding("K1")
def test_the_placeholder_of_another_volume_is_refused(driver: Driver, agent: FakeAgent, disk: Disk,
                                                      device_dir: Path) -> None:
    driver.must("mountdevice", str(device_dir), str(disk.link), OPTIONS_TEXT)
    agent.answers["/v1/mount"] = result(disk.reply(volume="pv-2"))
    assert "pv-1" in driver.run("mountdevice", str(device_dir), str(disk.link), OPTIONS_TEXT).message
    with pytest.raises(OSError):
        (device_dir / "file").write_text("nowhere")
    driver.must("unmountdevice", str(device_dir))


@pytest.mark.finding("K1")
def test_a_placeholder_that_is_not_agreed_to_is_undone(driver: Driver, agent: FakeAgent, disk: Disk,
                                                       device_dir: Path) -> None:
    agent.answers["/v1/mounted"] = error("Conflict", "pv-1 was taken over by n2")
    assert "taken over" in driver.run("mountdevice", str(device_dir), str(disk.link), OPTIONS_TEXT).message
    remove_as_a_kubelet(device_dir)
