"""What pods and other programs of the node do that is no business of ours, and what of it is.

Where a test detaches, a container runtime tells that the pod is gone.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from host_calls import attach, mount_for_pod, process_on
from lab import wait_until
from plexvol_host import BUILD, NODE, Host

SILENT_FUSE = Path(__file__).with_name("silent_fuse.py")


@contextmanager
def mounted(host: Host, *arguments: str | Path) -> Iterator[None]:
    """The last argument is the mount point."""
    host.machine.run("mount", *arguments)
    try:
        yield
    finally:
        host.machine.run("umount", arguments[-1])


def made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.finding("S2")
def test_mounts_of_others_may_have_any_bytes_in_their_paths(host: Host) -> None:
    """A subPath with carriage returns, as anybody can have one in his pod."""
    source = made(host.directory / "other/a\rb\v c\fd\n8 9 7:0 - ext4 x rw")
    target = made(host.directory / "other/target\rx\rshared:none\r1 2\r")
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    with mounted(host, "--bind", source, target):
        host.mounting.must("mount", pod, asked)
        assert str(pod) in host.mounts()
        host.see(pod / "file").write_text("kept")
        host.mounting.must("unmount", pod)
        host.wait_detached("pv-1")
        host.delete("pv-1")
        assert len(host.mounts()) == 1
    assert host.mounts() == []


@pytest.mark.finding("S2")
@pytest.mark.usefixtures("runtime")
def test_no_path_of_a_pods_choice_is_unmounted(host: Host) -> None:
    """Its volume holds directories whose names make up, with carriage returns, another line of the kernel's table."""
    victim = made(host.directory / "victim")
    bound = made(host.directory / "bound")
    asked, device = attach(host)
    _, folder = mount_for_pod(host, asked, device)
    crafted = Path(f"{folder}/s\r{victim}\rrw\r-\rext4\rx")
    made(host.see(crafted))
    with mounted(host, "-t", "tmpfs", "tmpfs", victim):
        host.machine.run("mount", "--bind", crafted, bound)
        host.attaching.must("detach", "pv-1", NODE)
        assert host.mounts() == [str(victim)]


@pytest.mark.finding("S3")
@pytest.mark.usefixtures("runtime")
def test_a_file_system_that_never_answers_is_not_asked(host: Host) -> None:
    if not Path("/dev/fuse").exists():
        pytest.skip("this kernel has no FUSE")
    log = host.directory / "questions"
    log.touch()
    server = host.machine.popen(
        ["unshare", "--mount", sys.executable, SILENT_FUSE, log], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        # More often than the agent has workers.
        for number in range(5):
            asked, device = attach(host, f"pv-{number}")
            mount_for_pod(host, asked, device)
            host.attaching.must("detach", f"pv-{number}", NODE)
        assert log.read_text() == ""
    finally:
        for pid in (host.machine.started_by(server), server.pid):
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        server.communicate()
    host.stop()
    host.start()


# In a mount namespace of its own, as a pod's: 20,000 mounts of a directory of the volume, on paths of a thousand bytes.
MANY_MOUNTS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
source, base = (path.encode() for path in sys.argv[1:])
for number in range(20000):
    target = base + b"/%d" % number
    os.mkdir(target)
    if libc.mount(source, target, None, 4096, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
"""


def peak_kib(host: Host) -> int:
    status = Path(f"/proc/{host.agent_pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.finding("S4")
@pytest.mark.usefixtures("runtime")
@pytest.mark.skipif("asan" in BUILD.name, reason="a sanitizer keeps what was freed")
def test_twenty_thousand_mounts_of_a_pod_take_no_memory_of_the_agent(host: Host) -> None:
    asked, device = attach(host)
    _, folder = mount_for_pod(host, asked, device)
    long_path = "/".join(["x" * 240] * 4)
    source = made(host.see(folder / long_path))
    assert source.is_dir()
    base = made(host.directory / "many" / long_path)
    program = host.directory / "many.py"
    program.write_text(MANY_MOUNTS)
    before = peak_kib(host)
    script = f"{sys.executable} {program} {folder / long_path} {base} || exit 1"
    with process_on(host, script, "unshare", "--mount") as pid:
        naming = (f"process {pid} (sleep)", "has it mounted")
        host.attaching.refused("detach", "pv-1", NODE, naming=naming)
        grown_mib = (peak_kib(host) - before) // 1024
        print(f"{grown_mib} MiB more")
        assert grown_mib < 64
    wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "detach is no longer refused")


@pytest.mark.finding("D10")
def test_a_volume_that_is_mounted_in_another_namespace_is_not_checked_again(host: Host) -> None:
    """As by a kubelet in a container of its own. e2fsck would find the device in use, and the call would fail."""
    asked, device = attach(host)
    folder, pod = mount_for_pod(host, asked, device)
    host.attaching.must("unmount", pod)
    host.attaching.must("unmountdevice", folder)
    elsewhere = made(host.directory / "elsewhere")
    with process_on(host, f"mount {device} {elsewhere}", "unshare", "--mount"):
        assert host.mounts() == []
        host.attaching.must("mountdevice", folder, device, asked)
        host.attaching.must("mount", pod, asked)
        assert str(pod) in host.mounts()
        host.attaching.must("unmount", pod)
        host.attaching.must("unmountdevice", folder)
    wait_until(lambda: host.attaching.call("detach", "pv-1", NODE).succeeded, 120, "detach is no longer refused")


@pytest.mark.finding("D3")
@pytest.mark.usefixtures("runtime")
def test_detach_is_refused_while_the_volume_is_used_through_an_overlay(host: Host) -> None:
    asked, device = attach(host)
    _, folder = mount_for_pod(host, asked, device)
    merged = made(host.directory / "merged")
    for name in ("lower", "upper", "work"):
        host.see(folder / name).mkdir()
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    host.machine.run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    with process_on(host, f"exec 3>{merged}/file") as pid:
        naming = (f"process {pid} (sleep) has {merged}/file open",)
        host.attaching.refused("detach", "pv-1", NODE, naming=naming)
    host.attaching.refused("detach", "pv-1", NODE, naming=f"the kernel has an overlay of it mounted on {merged}")
    host.machine.run("umount", merged)
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.finding("D3")
@pytest.mark.usefixtures("runtime")
def test_detach_is_refused_while_a_loop_device_lies_over_a_file_of_the_volume(host: Host) -> None:
    asked, device = attach(host)
    _, folder = mount_for_pod(host, asked, device)
    image = folder / "image"
    host.machine.run("truncate", "--size", "1M", image)
    loop = host.machine.run("losetup", "--find", "--show", image).strip()
    try:
        naming = f"the kernel has loop device {Path(loop).name} over {image}"
        host.attaching.refused("detach", "pv-1", NODE, naming=naming)
        with process_on(host, f"exec 3<{loop}") as pid:
            host.attaching.refused("detach", "pv-1", NODE, naming=f"process {pid} (sleep) has the device open")
    finally:
        host.machine.run("losetup", "--detach", loop)
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.finding("S9")
@pytest.mark.usefixtures("runtime")
def test_the_name_of_a_mapped_file_is_no_use_of_a_device(host: Host) -> None:
    """Anybody may call a file like what /proc/PID/maps shows of a file of the volume."""
    asked, device = attach(host)
    mount_for_pod(host, asked, device)
    number = os.stat(host.loop_of("pv-1")).st_rdev
    named = host.directory / f"x {os.major(number):02x}:{os.minor(number):02x} 1 "
    named.write_bytes(bytes(4096))
    program = "import mmap, sys, time; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); "
    program += "print('ready', flush=True); time.sleep(1000)"
    mapping = host.machine.popen([sys.executable, "-c", program, named], stdout=subprocess.PIPE)
    try:
        assert mapping.stdout is not None and mapping.stdout.readline() == "ready\n"
        host.attaching.must("detach", "pv-1", NODE)
    finally:
        subprocess.run(["kill", "-KILL", str(host.machine.started_by(mapping))], check=False)
        mapping.communicate()


@pytest.mark.finding("S8")
def test_a_request_whose_trailer_comes_byte_by_byte_ends_no_agent(host: Host) -> None:
    pid = host.agent_pid
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(host.see(host.directory / "sock")))
        head = b"POST /v1/version HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n1\r\n{\r\n0\r\n"
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
            for byte in b"a: b\r\n\r\n":
                connection.sendall(bytes([byte]))
        assert connection.recv(100).startswith(b"HTTP/1.1 501 ")
    assert host.plexvol("volume", "list").returncode == 0
    assert host.agent_pid == pid
