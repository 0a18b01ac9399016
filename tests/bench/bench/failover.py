"""How long a volume is without a writer when its node loses its power, step by step, beside the same by raw commands.

A Plexvol volume and a DRBD volume made by hand with the same options are mounted on one node, both written to, and the
node is switched off. On the other node a mount call is made at once, as its kubelet would, and a block is written with
fsync. Then the raw commands in their best order, with a helper that says yes to DRBD's question. What ends each step,
by that node's clock:

    detection   DRBD there says that the connection is gone (kernel log)
    lease       the agent may decide: its first step that takes the lost node out (AskArbiter, or a set that was won).
                Until then the lost node's lease, or its silence, had to be waited for
    arbiter     Promote: the store has said that this copy may go on alone
    promotion   CheckFilesystem: it is primary (the kernel has asked, too) and linked
    fsck        CompleteMountCalls
    mount       the driver has answered
    write       the block is on the disk

What ends before the step before it takes no time. By hand there is no lease and no arbiter.

The goal is the time of the agents' lease, and what the raw commands after detection took in the same run. Detection is
DRBD's, and goes on while the lease runs out: so it adds nothing to the goal.
"""

import json
import re
import statistics
import time
from dataclasses import dataclass
from datetime import datetime

from cluster import AGENT, LEASE_SECONDS, MOUNT_DRIVER, Cluster, options, pod_dir
from lab import Node, wait_until

from . import mirror
from .machines import shared_cluster
from .report import Line, spread, words

VOLUME = "pv-failover"
ROUNDS = 3
STEPS = ("detection", "lease", "arbiter", "promotion", "fsck", "mount", "write")
BY_HAND = ("promotion", "fsck", "mount", "write")
HELPER = "/persist/yes"
HELPER_SETTING = "/sys/module/drbd/parameters/usermode_helper"
WRITE = "dd if=/dev/zero of={}/block bs=4k count=1 conv=fsync,notrunc 2>/dev/null"
# A mount call waits by itself, but not for ever. EPOCHREALTIME is bash's, and starts no process.
MOUNT_AND_WRITE = f"""
until "$1" mount "$2" "$3" | grep -q Success; do :; done
echo $EPOCHREALTIME
{WRITE.format('"$2"')}
echo $EPOCHREALTIME
"""
RAW = f"""
mkdir -p {mirror.MOUNTED}
echo $EPOCHREALTIME
drbdsetup primary {mirror.MINOR}
echo $EPOCHREALTIME
e2fsck -p {mirror.DEVICE} >/dev/null
echo $EPOCHREALTIME
mount {mirror.DEVICE} {mirror.MOUNTED}
echo $EPOCHREALTIME
{WRITE.format(mirror.MOUNTED)}
echo $EPOCHREALTIME
"""
ENDS = {
    "lease": re.compile(r'msg="(AskArbiter|current of .*, won: )'),
    "arbiter": re.compile(r'msg="Promote"'),
    "promotion": re.compile(r'msg="CheckFilesystem"'),
    "fsck": re.compile(r'msg="CompleteMountCalls"'),
}


def measure() -> list[Line]:
    cluster = shared_cluster()
    usual = make_both(cluster)
    ours: dict[str, list[float]] = {step: [] for step in STEPS}
    raw: dict[str, list[float]] = {step: [] for step in ("detection", *BY_HAND)}
    told = []
    for number in range(ROUNDS):
        primary, other = ("n1", "n2") if number % 2 == 0 else ("n2", "n1")
        led = leads_store(cluster.node(primary))
        cut = fail_over(cluster, primary, other)
        told.append(words(sum(cut.ours.values())) + (" (the dead node's etcd had led)" if led else ""))
        note(ours, cut.ours)
        note(raw, {"detection": cut.raw_detection, **by_hand(cluster.node(other))})
        restore(cluster, primary, other, usual)
    remove_both(cluster, other)
    return report(ours, raw, told)


def make_both(cluster: Cluster) -> mirror.Options:
    cluster.create_volume("n1", VOLUME, "128Mi", "n1", "n2")
    n1, n2 = cluster.node("n1"), cluster.node("n2")
    asked = mirror.read_options(n1, VOLUME)
    start = {n1: mirror.start_side(n1, n2, asked), n2: mirror.start_side(n2, n1, asked)}
    cluster.lab.on_all(lambda node: node.sh(mirror.make_side(asked) + start[node]), start)
    n1.sh(f"{mirror.FIRST_PROMOTION}\ndevice={mirror.DEVICE}\n{mirror.FORMAT_AND_MOUNT}")
    return asked


def remove_both(cluster: Cluster, primary: str) -> None:
    cluster.node(primary).sh(f"umount {mirror.MOUNTED}; {mirror.DEMOTION}")
    cluster.lab.on_all(lambda node: node.sh(mirror.SIDE_DOWN), [cluster.node("n1"), cluster.node("n2")])
    cluster.delete_volume("n1", VOLUME)


def note(samples: dict[str, list[float]], found: dict[str, float]) -> None:
    for step, seconds in found.items():
        samples[step].append(seconds)


def report(ours: dict[str, list[float]], raw: dict[str, list[float]], told: list[str]) -> list[Line]:
    totals = [sum(found) for found in zip(*ours.values(), strict=True)]
    best = [sum(found) for found in zip(*raw.values(), strict=True)]
    times = statistics.median(totals) / statistics.median(best)
    commands = sum(statistics.median(raw[step]) for step in BY_HAND)
    lines = [
        Line("a node loses its power: until a write on the other node", statistics.median(totals), "s",
             most=round(LEASE_SECONDS + commands, 2),
             detail=f"{', '.join(told)}; {times:.2f} times as long as by hand, {spread(best)}; the goal is the lease, "
             f"{LEASE_SECONDS} s, and what the raw commands took after detection, {words(commands)}",
             samples={"ours": totals, "others": best})
    ]  # fmt: skip
    for step in STEPS:
        by_hand = f", by hand {spread(raw[step])}" if step in raw else ""
        lines.append(Line(f"of it: {step}", statistics.median(ours[step]), "s", detail=spread(ours[step]) + by_hand,
                          samples={"ours": ours[step], "others": raw.get(step, [])}))  # fmt: skip
    return lines


def leads_store(node: Node) -> bool:
    """A new leader grants every lease its whole time anew, after an election (etcd's lessor, Promote)."""
    command = ["/usr/bin/etcdctl", f"--endpoints={node.etcd_url}", "endpoint", "status", "--write-out=json"]
    (member,) = json.loads(node.check(command, env={"ETCDCTL_API": "3"}).stdout)
    return bool(member["Status"]["leader"] == member["Status"]["header"]["member_id"])


@dataclass(frozen=True)
class Cut:
    ours: dict[str, float]
    raw_detection: float


def fail_over(cluster: Cluster, primary: str, other: str) -> Cut:
    asked, node = options(VOLUME), cluster.node(other)
    cluster.driver(primary).must("mount", pod_dir(VOLUME), asked)
    for mounted in (pod_dir(VOLUME), mirror.MOUNTED):
        cluster.node(primary).sh(WRITE.format(mounted))
    begin = time.monotonic()
    cluster.node(primary).power_off()
    driver = cluster.driver(other)
    marks = node.check(["bash", "-ec", MOUNT_AND_WRITE, "bash", MOUNT_DRIVER, pod_dir(VOLUME), asked], timeout=300)
    took = time.monotonic() - begin
    answered, written = map(float, marks.stdout.split())
    cut = written - took  # by the other node's clock
    kernel = node.check(["dmesg", "--time-format=iso"]).stdout.decode()
    driver.must("unmount", pod_dir(VOLUME))
    cluster.wait_detached("n3", VOLUME)
    ends = {"detection": detection(VOLUME, kernel, cut), "mount": answered, "write": written}
    return Cut(durations(cut, ends | read_agent(node, cut)), detection(mirror.NAME, kernel, cut) - cut)


def detection(resource: str, kernel: str, since: float) -> float:
    return first(re.compile(rf"drbd {resource}: .*conn\( Connected -> "), kernel, since)


def read_agent(node: Node, since: float) -> dict[str, float]:
    text = node.read_file(node.service_log_path(AGENT)).decode(errors="replace")
    log = "\n".join(line for line in text.splitlines() if f"volume={VOLUME}" in line)
    return {step: first(pattern, log, since) for step, pattern in ENDS.items()}


def first(pattern: re.Pattern[str], log: str, since: float) -> float:
    """When the first line of since then was written that has this."""
    for line in log.splitlines():
        if pattern.search(line):
            # The kernel's log has a comma before the fraction.
            written = datetime.fromisoformat(line.split()[0].replace(",", ".")).timestamp()
            if written >= since:
                return written
    raise ValueError(f"the log says nothing of {pattern.pattern} since {since}:\n{log}")


def durations(begin: float, ends: dict[str, float]) -> dict[str, float]:
    found = {}
    for step in STEPS:
        end = max(begin, ends[step])
        found[step], begin = end - begin, end
    return found


def by_hand(node: Node) -> dict[str, float]:
    node.write_file(HELPER, '#!/bin/busybox sh\n[ "$1" = fence-peer ] && exit 4\nexit 0\n', 0o755)
    agents = node.read_file(HELPER_SETTING).decode().strip()
    node.sh(f"printf %s {HELPER} >{HELPER_SETTING}")
    marks = [float(mark) for mark in node.check(["bash", "-ec", RAW]).stdout.split()]
    node.sh(f"printf %s {agents} >{HELPER_SETTING}")
    return {step: end - begin for step, begin, end in zip(BY_HAND, marks, marks[1:], strict=False)}


def restore(cluster: Cluster, primary: str, other: str, usual: mirror.Options) -> None:
    """As before, with the roles of the two exchanged: what is made by hand stays where it is mounted now."""
    lost, node = cluster.node(primary), cluster.node(other)
    lost.power_on()
    lost.sh(f"{mirror.AFTER_POWER_LOSS}\n{mirror.start_side(lost, node, usual)}")
    cluster.wait_alive(["n1", "n2", "n3"])
    cluster.driver(primary).must("unmount", pod_dir(VOLUME))
    cluster.wait_state(other, VOLUME, "Ready")
    whole = b"UpToDate/UpToDate"
    wait_until(lambda: node.sh(f"drbdsetup dstate {mirror.MINOR}").stdout.strip() == whole, 120, "both have all")
