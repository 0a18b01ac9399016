"""Run in a machine: catches tools that the agent runs, midway, and sends each a signal.

    python3 -I -S stop_tools.py SIGNAL SECONDS COUNT

Prints `caught PID NAME` for each; ends after COUNT tools, or after SECONDS.
"""

import os
import sys
import time

TOOLS = ("drbdadm", "drbdsetup", "drbdmeta", "lvm", "lvs", "lvcreate", "lvchange", "mkfs", "mke2fs", "fsck", "e2fsck")
# `drbdsetup events2` is no step of anything: it runs as long as the agent does.
LASTING = b"events2"


def look(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # it ended meanwhile


def name_and_parent(pid):
    """From /proc/PID/stat: `12 (name) S 1 ...`; the name may hold anything."""
    text = look("/proc/%s/stat" % pid)
    end = text.rfind(b")")
    if end < 0:
        return "", 0
    return text[text.find(b"(") + 1 : end].decode(errors="replace"), int(text[end + 2 :].split()[1])


def find_tool(known):
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in known:
            continue
        name, parent = name_and_parent(pid)
        if not name.startswith(TOOLS) or LASTING in look("/proc/%s/cmdline" % pid):
            continue
        for _ in range(3):  # tools start tools: drbdadm runs drbdsetup and drbdmeta
            above, grandparent = name_and_parent(parent)
            if above == "plexvold":
                return pid, name
            parent = grandparent
    return None


def main(number, seconds, count):
    end = time.monotonic() + seconds
    known = set()
    while len(known) < count and time.monotonic() < end:
        found = find_tool(known)
        if found is None:
            time.sleep(0.005)
            continue
        known.add(found[0])
        try:
            os.kill(int(found[0]), number)
        except OSError:
            continue
        os.write(1, ("caught %s %s\n" % found).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
