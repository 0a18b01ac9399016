"""Starts the machines of a cluster, and removes all that is left of them when its caller is done or dead.

    unshare --mount --propagation private python3 -m kube.keeper FOLDER NAME...

FOLDER becomes a file system in memory, which only these machines see. A line "NAME PID" on stdout tells a machine's
process 1, a line "up" that all run. Everything ends when stdin does. The exit status says whether nothing was left.
No signal but SIGKILL ends it before.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .cgroups import Cgroups

# More than a machine's memory may be: pools of sparse images promise much, and hold little.
SIZE = "64g"
NAMESPACES = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
UNSHARE = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
INIT = Path(__file__).resolve().parent / "init.sh"
PATIENCE_SECONDS = 60


def main(folder: Path, names: list[str]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={SIZE}", folder.name, folder], check=True)
    device = os.stat(folder).st_dev
    cgroups = Cgroups(folder.name)
    holders: list[subprocess.Popen[str]] = []
    try:
        for name in names:
            holders.append(start(folder, name, cgroups))
        print("up", flush=True)
        sys.stdin.read()
    finally:
        for holder in holders:
            holder.kill()  # and with it the machine's process 1, and with that all of its processes
        for holder in holders:
            holder.wait()
        left = wait_gone(cgroups.processes)
        left += wait_gone(lambda: detach_loop_devices(device))
        left += wait_gone(cgroups.remove)
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
    if left:
        print(f"left on this machine: {' '.join(left)}", file=sys.stderr)
    return 1 if left else 0


def start(folder: Path, name: str, cgroups: Cgroups) -> "subprocess.Popen[str]":
    own = folder / name
    own.mkdir()
    cgroups.make(name)
    argv = [*cgroups.first(name), *UNSHARE, "bash", str(INIT), str(own), name, *cgroups.hierarchies]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    if holder.stdout.readline() != "up\n":
        holder.kill()
        holder.wait()
        sys.exit(f"{name} does not start")
    cgroups.leave_top(name, holder.pid)
    init = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]
    print(name, init, flush=True)
    return holder


def detach_loop_devices(device: int) -> list[str]:
    """Those whose file is on this file system, whatever its name is by now. Those that are left."""
    number = f"{os.major(device)}:{os.minor(device)}"
    list_all = ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN"]
    said = subprocess.run(list_all, capture_output=True, text=True)
    found = re.findall(rf"^(\S+)\s+{number}\s*$", said.stdout, re.MULTILINE)
    for name in found:
        subprocess.run(["losetup", "--detach", name], stderr=subprocess.DEVNULL)
    return found


def wait_gone(find: Callable[[], list[str]]) -> list[str]:
    """Returns those that stay."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (left := find()) and time.monotonic() < until:
        time.sleep(0.02)
    return left


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
