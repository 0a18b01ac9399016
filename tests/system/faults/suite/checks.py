"""What must hold when all is healed and the volume is mounted nowhere."""

import re

from lab import Node, wait_until

from .world import World

VERIFY_SECONDS = 120
# Everything of a device in /proc/drbd: its own line, and the one with the counters.
_DEVICE = r"^ *{minor}: (cs:.*)\n(.*)$"


def check_current(world: World, volume: str) -> list[str]:
    current = world.read_current(volume)
    if set(current.get("nodes", [])) == set(world.replicas):
        return []
    return [f"current/{volume} is {current}, not both of {world.replicas}"]


def check_resources(world: World, volume: str) -> list[str]:
    """A resource that is frozen, or has given up connecting, waits for a person."""
    problems = []
    for name in world.replicas:
        events = world.node(name).check(["drbdsetup", "events2", "--now"]).stdout.decode()
        lines = [line for line in events.splitlines() if f"name:{volume} " in line + " "]
        if not any("connection:Connected" in line for line in lines):
            problems.append(f"{volume} on {name} is not connected: {lines}")
        if not any("role:Secondary" in line and "suspended:no" in line for line in lines):
            problems.append(f"{volume} on {name} is not a secondary that runs: {lines}")
        if not any(" disk:UpToDate" in line for line in lines):
            problems.append(f"the copy of {volume} on {name} is not UpToDate: {lines}")
    return problems


def check_sums(world: World, volume: str) -> list[str]:
    """Past the page cache: DRBD writes beneath it."""

    def read_sum(node: Node) -> str:
        script = f"dd if=/dev/vg0/{volume} iflag=direct bs=1M 2>/dev/null | sha256sum"
        return node.sh(script, timeout=VERIFY_SECONDS).stdout.decode().split()[0]

    sums = world.lab.on_all(read_sum, map(world.node, world.replicas))
    if len(set(sums)) == 1:
        return []
    return [f"the two copies of {volume} differ: {sums}\n{_differing_blocks(world, volume)}"]


def _differing_blocks(world: World, volume: str) -> str:
    """Which 4 KiB blocks, and how they begin, for the evidence."""
    script = f"dd if=/dev/vg0/{volume} iflag=direct bs=1M 2>/dev/null"
    first, second = (world.node(name).sh(script, timeout=VERIFY_SECONDS).stdout for name in world.replicas)
    differing = [at for at in range(0, max(len(first), len(second)), 4096) if first[at : at + 4096] != second[at : at + 4096]]
    shown = [f"{at // 4096}: {first[at : at + 16].hex()} {second[at : at + 16].hex()}" for at in differing[:40]]
    return f"{len(differing)} blocks of 4 KiB: {shown}"


def check_by_verify(world: World, volume: str) -> list[str]:
    """`drbdadm verify`; its result and progress stand in /proc/drbd only."""
    node = world.node(world.replicas[0])
    shown = world.cluster.volume("n3", volume)
    assert shown is not None
    minor = shown["drbd_minor"]
    before = _count_finished(world, minor)
    node.check(["drbdadm", "-c", f"/var/lib/plexvol/drbd.d/{volume}.res", "verify", "all"])
    wait_until(lambda: _count_finished(world, minor) > before, VERIFY_SECONDS, f"the verify of {volume} ends")
    pattern = re.compile(_DEVICE.format(minor=minor), re.MULTILINE)
    found = pattern.search(node.read_file("/proc/drbd").decode())
    if found is None:
        return [f"{volume} has gone from /proc/drbd"]
    out_of_sync = re.search(r"\boos:(\d+)", found.group(2))
    if out_of_sync is None or out_of_sync.group(1) != "0":
        return [f"drbdadm verify of {volume}: {found.group(0)}"]
    return []


def _count_finished(world: World, minor: int) -> int:
    """How often the kernel has said that it had verified this device to its end."""
    log = world.node(world.replicas[0]).check(["dmesg"]).stdout.decode(errors="replace")
    return log.count(f"drbd{minor}: Online verify done")


# Each answers everything that is wrong; [] when all is right.
CHECKS = (check_current, check_resources, check_sums, check_by_verify)
