"""Real mounts of loop devices; the agent that names the device is played."""

import os
import signal
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from disks import Disk, lock_of, mounts, mounts_on, run, wait_until
from fake_agent import CLOSE, HANG, FakeAgent, Request, error, result
from lone_driver import OPTIONS_TEXT, Driver

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root"), pytest.mark.usefixtures("willing")]


@pytest.mark.parametrize("call", ["mount", "mountdevice"])
def test_mount_makes_the_directory_mounts_and_tells(driver: Driver, agent: FakeAgent, disk: Disk, target: Path,
                                                    call: str) -> None:
    arguments = [str(target), str(disk.link), OPTIONS_TEXT] if call == "mountdevice" else [str(target), OPTIONS_TEXT]
    assert driver.run(call, *arguments).reply == {"status": "Success"}
    [mounted] = mounts_on(target)
    if call == "mount":
        assert mounted[0] == disk.major_minor and mounted[4] == "ext4" and "rw" in mounted[3].split(",")
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o750
    assert agent.paths() == ["/v1/mount", "/v1/mounted"]
    assert agent.requests[0].connection == agent.requests[1].connection, "the agent's guard of the call"
    assert agent.requests[1].body == {"call_id": "7", "target": str(target), "mounted": True, "message": ""}
    assert driver.run("un" + call, str(target)).reply == {"status": "Success"}
    assert mounts_on(target) == []
    assert agent.requests[2].body == {"target": str(target)}


def test_the_mount_is_seen_as_the_devices_own_name(driver: Driver, disk: Disk, target: Path) -> None:
    """The kubelet looks for other mounts of a device by this name."""
    driver.run("mount", str(target), OPTIONS_TEXT)
    assert run("findmnt", "-n", "-o", "SOURCE", str(target)) == disk.device


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_one_volume_can_be_mounted_on_two_directories_one_of_them_read_only(driver: Driver, agent: FakeAgent,
                                                                            target: Path, fs_type: str) -> None:
    disk = Disk(driver.directory, "pv-3", fs_type)
    try:
        agent.answers["/v1/mount"] = [result(disk.reply(read_only=True, flags=["nosuid", "nodev", "noatime"])),
                                      result(disk.reply())]
        second = target.with_name("second")
        assert driver.run("mount", str(target), OPTIONS_TEXT).reply["status"] == "Success"
        assert driver.run("mount", str(second), OPTIONS_TEXT).reply["status"] == "Success"
        options = mounts_on(target)[0][3].split(",")
        assert {"ro", "nosuid", "nodev", "noatime"} <= set(options), "flags outlive the change to read-only"
        (second / "file").write_text("written")
        assert (target / "file").read_text() == "written"
        with pytest.raises(OSError, match="Read-only file system"):
            (target / "other").write_text("")
        for path in (target, second):
            assert driver.run("unmount", str(path)).reply["status"] == "Success"
    finally:
        disk.remove()


def test_flags_and_data_reach_the_kernel(driver: Driver, agent: FakeAgent, disk: Disk, target: Path) -> None:
    agent.answers["/v1/mount"] = result(disk.reply(flags=["noexec", "sync"], data="commit=77"))
    assert driver.run("mount", str(target), OPTIONS_TEXT).reply["status"] == "Success"
    options = run("findmnt", "-n", "-o", "OPTIONS", str(target))
    assert "noexec" in options and "sync" in options and "commit=77" in options


def test_a_second_call_finds_the_mount_and_succeeds(driver: Driver, agent: FakeAgent, disk: Disk, target: Path) -> None:
    for _ in range(2):
        assert driver.run("mount", str(target), OPTIONS_TEXT).reply["status"] == "Success"
    assert len(mounts_on(target)) == 1
    assert agent.paths().count("/v1/mounted") == 2


def test_two_calls_at_once_for_one_target_make_one_mount(driver: Driver, disk: Disk, target: Path) -> None:
    processes = [driver.start("mount", str(target), OPTIONS_TEXT) for _ in range(8)]
    assert [driver.finish(process).reply["status"] for process in processes] == ["Success"] * 8
    assert len(mounts_on(target)) == 1
    assert not lock_of(target).exists()


def test_a_second_call_waits_until_the_first_has_been_agreed_to(driver: Driver, agent: FakeAgent, disk: Disk,
                                                                target: Path) -> None:
    """Else it would answer Success for a mount that the first one then undoes."""
    agree = threading.Event()

    def mounted(request: Request) -> bytes:
        if request.body["call_id"] == "first":
            agree.wait(10)
            return error("Conflict", "lost meanwhile")
        return result({})

    agent.answers["/v1/mount"] = [result(disk.reply(call_id="first")), result(disk.reply(call_id="second"))]
    agent.answers["/v1/mounted"] = mounted
    first = driver.start("mount", str(target), OPTIONS_TEXT)
    wait_until(lambda: "/v1/mounted" in agent.paths(), "the first call mounts")
    second = driver.start("mount", str(target), OPTIONS_TEXT)
    wait_until(lambda: agent.paths().count("/v1/mount") == 2, "the second call has asked")
    assert lock_of(target).exists()
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.3)
    agree.set()
    assert "lost meanwhile" in driver.finish(first).message
    assert driver.finish(second).reply["status"] == "Success"
    assert len(mounts_on(target)) == 1


def test_another_device_on_the_target_is_a_failure_that_names_both(driver: Driver, agent: FakeAgent, disk: Disk,
                                                                   other_disk: Disk, target: Path) -> None:
    target.mkdir(parents=True)
    run("mount", other_disk.device, str(target))
    message = driver.run("mount", str(target), OPTIONS_TEXT).message
    assert other_disk.device in message and other_disk.major_minor in message
    assert str(disk.link) in message and disk.major_minor in message
    assert len(mounts_on(target)) == 1
    told = agent.request("/v1/mounted").body
    assert told["mounted"] is False and told["message"] == message


def test_a_directory_of_the_volume_on_the_target_is_not_the_volume(driver: Driver, disk: Disk, target: Path) -> None:
    first = target.with_name("first")
    driver.run("mount", str(first), OPTIONS_TEXT)
    target.mkdir()
    run("mount", "--bind", str(first / "lost+found"), str(target))
    assert "its directory /lost+found" in driver.run("mount", str(target), OPTIONS_TEXT).message


def test_a_writable_mount_is_not_taken_for_a_read_only_one(driver: Driver, agent: FakeAgent, disk: Disk,
                                                           target: Path) -> None:
    driver.run("mount", str(target), OPTIONS_TEXT)
    agent.answers["/v1/mount"] = result(disk.reply(read_only=True))
    assert "but writable" in driver.run("mount", str(target), OPTIONS_TEXT).message
    assert len(mounts_on(target)) == 1, "a mount that somebody uses is not undone"


def test_a_link_to_another_device_is_never_followed(driver: Driver, agent: FakeAgent, disk: Disk, other_disk: Disk,
                                                    target: Path) -> None:
    disk.link.unlink()
    disk.link.symlink_to(other_disk.device)
    message = driver.run("mount", str(target), OPTIONS_TEXT).message
    assert other_disk.major_minor in message and disk.major_minor in message
    assert mounts_on(target) == []
    assert agent.request("/v1/mounted").body["mounted"] is False


@pytest.mark.parametrize("changes, part", [
    ({"device": "/dev/plexvol/nowhere"}, "not seen here"),
    ({"device": "/dev/null"}, "no block device"),
    ({"device": "relative"}, "not seen here"),
    ({"fs_type": "xfs"}, "mount of"),
    ({"fs_type": "nosuchfs"}, "does not know the file system"),
    ({"fs_type": ""}, "mount of"),
    ({"data": "nosuchoption"}, "Invalid argument"),
    ({"flags": ["bind"]}, "bind"),
])
def test_what_cannot_be_mounted_is_told_and_leaves_nothing(driver: Driver, agent: FakeAgent, disk: Disk, target: Path,
                                                           changes: dict[str, Any], part: str) -> None:
    agent.answers["/v1/mount"] = result(disk.reply(**changes))
    outcome = driver.run("mount", str(target), OPTIONS_TEXT)
    assert part in outcome.message
    assert mounts_on(target) == []
    assert agent.request("/v1/mounted").body["mounted"] is False
    assert outcome.seconds < 3


@pytest.mark.parametrize("field", ["device", "major", "minor", "fs_type", "read_only", "call_id"])
def test_a_mount_reply_that_lacks_a_field_mounts_nothing(driver: Driver, agent: FakeAgent, disk: Disk, target: Path,
                                                         field: str) -> None:
    reply = disk.reply()
    del reply[field]
    agent.answers["/v1/mount"] = result(reply)
    assert field in driver.run("mount", str(target), OPTIONS_TEXT).message
    assert mounts_on(target) == []


def test_a_mount_that_the_agent_does_not_agree_to_is_undone(driver: Driver, agent: FakeAgent, disk: Disk,
                                                            target: Path) -> None:
    agent.answers["/v1/mounted"] = error("Conflict", "pv-1 was taken over by n2")
    message = driver.run("mount", str(target), OPTIONS_TEXT).message
    assert "pv-1 was taken over by n2" in message
    assert mounts_on(target) == []


def test_a_mount_is_told_again_after_the_connection_broke(driver: Driver, agent: FakeAgent, disk: Disk,
                                                          target: Path) -> None:
    agent.answers["/v1/mounted"] = [CLOSE, error("Unavailable", "starting"), result({})]
    assert driver.run("mount", str(target), OPTIONS_TEXT).reply == {"status": "Success"}
    assert agent.paths() == ["/v1/mount"] + ["/v1/mounted"] * 3
    assert len(mounts_on(target)) == 1


def test_a_mount_that_nobody_could_be_told_of_is_undone(driver: Driver, agent: FakeAgent, disk: Disk,
                                                        target: Path) -> None:
    driver.configure(timeout_seconds=1)
    agent.answers["/v1/mounted"] = HANG
    outcome = driver.run("mount", str(target), OPTIONS_TEXT)
    assert "does not answer /v1/mounted" in outcome.message
    assert mounts_on(target) == []
    assert outcome.seconds < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_call_that_is_killed_before_it_is_agreed_to_leaves_no_mount(driver: Driver, agent: FakeAgent, disk: Disk,
                                                                      target: Path, number: int) -> None:
    agent.answers["/v1/mounted"] = HANG
    process = driver.start("mount", str(target), OPTIONS_TEXT)
    wait_until(lambda: "/v1/mounted" in agent.paths(), "the call mounts")
    assert len(mounts_on(target)) == 1
    process.send_signal(number)
    assert process.wait(5) == -number
    process.communicate(timeout=60)  # nobody keeps the pipe open
    wait_until(lambda: mounts_on(target) == [], "its child undoes the mount")
    assert agent.requests[0].closed.wait(5), "only then the agent sees the end of the call"
    assert mounts_on(target) == []
    assert not lock_of(target).exists()


def test_a_target_below_a_link_is_the_directory_behind_it(driver: Driver, disk: Disk) -> None:
    """The kubelet's own directory is a link on some hosts."""
    real = driver.directory / "real"
    real.mkdir()
    link = driver.directory / "kubelet"
    link.symlink_to(real)
    for _ in range(2):
        assert driver.run("mount", str(link / "pv-1"), OPTIONS_TEXT).reply["status"] == "Success"
    assert len(mounts_on(real / "pv-1")) == 1
    assert driver.run("unmount", str(link / "pv-1")).reply["status"] == "Success"
    assert mounts_on(real / "pv-1") == []


def test_a_target_of_unusual_characters_is_mounted_and_unmounted(driver: Driver, disk: Disk) -> None:
    target = driver.directory / "a b\tc\\040 ü"
    assert driver.run("mount", str(target), OPTIONS_TEXT).reply["status"] == "Success"
    assert len([mount for mount in mounts() if mount[0] == disk.major_minor]) == 1
    assert driver.run("mount", str(target), OPTIONS_TEXT).reply["status"] == "Success"
    assert driver.run("unmount", str(target)).reply["status"] == "Success"
    assert [mount for mount in mounts() if mount[0] == disk.major_minor] == []


def test_stacked_mounts_are_all_taken_off(driver: Driver, agent: FakeAgent, disk: Disk, other_disk: Disk,
                                          target: Path) -> None:
    agent.stop()
    target.mkdir(parents=True)
    for device in (disk.device, other_disk.device, disk.device):
        run("mount", device, str(target))
    assert len(mounts_on(target)) == 3
    assert driver.run("unmount", str(target)).reply == {"status": "Success"}
    assert mounts_on(target) == []


def test_what_is_no_volume_is_not_unmounted(driver: Driver, target: Path) -> None:
    target.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "tmpfs", str(target))
    try:
        assert "tmpfs" in driver.run("unmount", str(target)).message
        assert len(mounts_on(target)) == 1
    finally:
        run("umount", str(target))


def test_a_busy_unmount_names_who_uses_it(driver: Driver, disk: Disk, target: Path) -> None:
    driver.run("mount", str(target), OPTIONS_TEXT)
    below = target / "below"
    below.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(below))
    sitting = subprocess.Popen(["sleep", "60"], cwd=target)
    writing = (target / "file").open("w")
    try:
        outcome = driver.run("unmount", str(target))
        assert f"process {sitting.pid} (sleep)" in outcome.message
        assert f"process {os.getpid()} (" in outcome.message
        assert str(below) in outcome.message and disk.device in outcome.message
        assert 4 < outcome.seconds < 10
        assert len(mounts_on(target)) == 1
    finally:
        writing.close()
        sitting.kill()
        sitting.wait()
        run("umount", str(below))
    assert driver.run("unmount", str(target)).reply["status"] == "Success"


def test_a_mount_that_is_busy_for_a_moment_is_waited_for(driver: Driver, disk: Disk, target: Path) -> None:
    driver.run("mount", str(target), OPTIONS_TEXT)
    with (target / "file").open("w"):
        process = driver.start("unmount", str(target))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    assert driver.finish(process).reply == {"status": "Success"}


def test_a_broken_file_system_is_unmounted_without_being_looked_at(driver: Driver, agent: FakeAgent,
                                                                   target: Path) -> None:
    disk = Disk(driver.directory, "pv-3", "xfs")
    try:
        agent.answers["/v1/mount"] = result(disk.reply())
        driver.run("mount", str(target), OPTIONS_TEXT)
        subprocess.run(["xfs_io", "-x", "-c", "shutdown", str(target)], check=False, capture_output=True)
        with pytest.raises(OSError, match="Input/output error"):
            os.listdir(target)
        assert driver.run("unmount", str(target)).reply == {"status": "Success"}
        assert mounts_on(target) == []
    finally:
        disk.remove()


def test_a_frozen_file_system_does_not_hold_an_unmount_up(driver: Driver, disk: Disk, target: Path) -> None:
    driver.configure(timeout_seconds=2)
    driver.run("mount", str(target), OPTIONS_TEXT)
    run("fsfreeze", "--freeze", str(target))
    try:
        outcome = driver.run("unmount", str(target))
        assert outcome.status in (0, 1) and outcome.seconds < 8
    finally:
        # An unmounted file system stays frozen, and its device in use, for ever: it is thawed by way of another mount.
        run("mount", disk.device, str(target))
        run("fsfreeze", "--unfreeze", str(target))

