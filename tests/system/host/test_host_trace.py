"""--trace: what a person at a shell sees of a call."""

import json
import re

from plexvol_host import Host


def test_trace_shows_the_request_the_tools_and_the_mount(host: Host) -> None:
    asked, pod = host.options("pv-1", size="64Mi"), host.pod_dir("pv-1")
    done = host.plexvol("--trace", "mount", str(pod), asked)
    assert done.returncode == 0
    # The reply alone is on stdout.
    assert json.loads(done.stdout)["status"] == "Success"
    lines = done.stderr.splitlines()
    assert any("/v1/mount" in line for line in lines), done.stderr
    for tool in ("losetup --find", "mkfs.ext4"):
        assert any("agent:" in line and tool in line for line in lines), done.stderr
    assert any(re.search(rf"mount /dev/loop\d+ on {pod}$", line) for line in lines), done.stderr
    assert all(re.search(r"\d ms", line) for line in lines), done.stderr
    # Without being asked for, nothing: every other call of these tests sees to it.
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")


def test_trace_shows_the_tool_that_failed(host: Host) -> None:
    asked, pod = host.options("pv-1", size="64Mi", mountOptions="inode64"), host.pod_dir("pv-1")
    done = host.plexvol("--trace", "mount", str(pod), asked)
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "Failure"
    assert any("mount" in line and "Invalid argument" in line for line in done.stderr.splitlines()), done.stderr
    host.wait_detached("pv-1")
