"""The agent under installer/plexvold.service by systemd itself: nothing that the unit takes away is missed.

Process 1 of the machines is the lab's, so it is root's own systemd (`systemd --user`) that starts the agent, in the
host's namespaces. It takes away from a service what the system's takes away, and the kernel logs each call that a
filter refuses.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from cluster import BUILD, UNIT, Cluster, options, pod_dir
from lab import Node, wait_until
from pods import mount_as_kubelets_do

pytestmark = pytest.mark.long

SYSTEMD = "systemd"
RUNTIME = "/run/plexvol-systemd"
UNITS = f"{RUNTIME}/units"
KERNEL_LOG = "kernel-log"
REFUSED = re.compile(r'type=1326 .*comm="(.*)" exe=.* syscall=(\d+) ')
# systemd cannot look into its arguments, and answers ENOSYS: the C library then calls clone, which it can look into.
CLONE3 = "435"
# What no agent needs, for the unit's filters to refuse.
FORBIDDEN = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
FORBIDDEN_CALL = ("python3", "41")


def start_systemd(node: Node) -> None:
    unit = UNIT.read_text()
    assert "ExecStart=@PREFIX@/sbin/plexvold\n" in unit
    node.write_file(f"{UNITS}/plexvold.service", unit.replace("@PREFIX@/sbin/plexvold", str(BUILD / "plexvold")))
    forbidden = unit.replace("@PREFIX@/sbin/plexvold", f'/usr/bin/python3 -c "{FORBIDDEN}"').replace(
        "Restart=always", "Restart=no"
    )
    node.write_file(f"{UNITS}/forbidden.service", forbidden)
    # Nothing that this host has for its users' sessions.
    node.write_file(f"{UNITS}/basic.target", "[Unit]\nDefaultDependencies=no\n")
    # systemd looks for both when it starts.
    node.sh("mkdir -p /run/systemd/system; mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    # Not one line is left out for being one of many.
    node.sh("echo 0 >/proc/sys/kernel/printk_ratelimit")
    node.start_service(KERNEL_LOG, ["dmesg", "--follow-new"])
    environment = {
        "XDG_RUNTIME_DIR": RUNTIME,
        "SYSTEMD_UNIT_PATH": f"{UNITS}:/usr/lib/systemd/user",
        "SYSTEMD_LOG_SECCOMP": "1",
    }
    # What the agent says goes where systemd's own words go.
    argv = ["/lib/systemd/systemd", "--user", "--unit=plexvold.service", "--default-standard-output=inherit"]
    node.start_service(SYSTEMD, argv, env=environment)


def stop_systemd(node: Node) -> None:
    node.stop_service(SYSTEMD)
    node.stop_service(KERNEL_LOG)
    node.sh(f"rmdir /run/systemd/system; rm -r {RUNTIME}")


def ask_systemd(node: Node, *words: str) -> str:
    return node.check(["systemctl", "--user", *words], env={"XDG_RUNTIME_DIR": RUNTIME}).stdout.decode().strip()


def find_refused(node: Node) -> set[tuple[str, str]]:
    """Program and number of each call."""
    log = node.read_file(node.service_log_path(KERNEL_LOG)).decode()
    assert "suppressed" not in log and "audit_lost" not in log, log
    return {(program, call) for program, call in REFUSED.findall(log) if call != CLONE3}


@pytest.fixture
def by_systemd(cluster: Cluster) -> Iterator[Cluster]:
    names = [node.name for node in cluster.lab.nodes]
    for name in names:
        cluster.kill_agent(name)
    try:
        cluster.lab.on_all(start_systemd)
        cluster.wait_alive(names)
        yield cluster
    finally:
        for node in cluster.lab.nodes:
            print(f"--- systemd and the agent of {node.name}")
            print(node.run(["tail", "-n", "60", node.service_log_path(SYSTEMD)]).text)
        cluster.lab.on_all(stop_systemd)
        for name in names:
            cluster.resume_agent(name)


def test_nothing_that_the_unit_takes_away_is_missed(by_systemd: Cluster, new_name: Callable[[], str]) -> None:
    for node in by_systemd.lab.nodes:
        pid = ask_systemd(node, "show", "--value", "--property=MainPID", "plexvold.service")
        status = node.read_file(f"/proc/{pid}/status").decode()
        assert "NoNewPrivs:\t1\n" in status and "Seccomp:\t2\n" in status, status

    for pool, fs_type, size in (("thick", "ext4", "64Mi"), ("thin", "ext4", "64Mi"), ("file", "xfs", "300Mi")):
        live(by_systemd, new_name(), {"pool": pool, "fs_type": fs_type, "size": size})
    for node in by_systemd.lab.nodes:
        # The last one in the log, and the only one.
        ask_systemd(node, "start", "forbidden.service")
        wait_until(lambda node=node: FORBIDDEN_CALL in find_refused(node), 120, f"{node.name} logs what is refused")
        assert find_refused(node) == {FORBIDDEN_CALL}


def live(cluster: Cluster, name: str, wanted: dict[str, str]) -> None:
    """Made, mounted, taken over by the other node from a mount that nobody uses, unmounted and deleted."""
    asked, pod = options(name, replicas="2", **wanted), pod_dir(name)
    cluster.driver("n1").must("mount", pod, asked)
    cluster.node("n1").sh(f"echo kept >{pod}/file; sync {pod}/file")
    other = cluster.other_copy("n1", name, "n1")
    mount_as_kubelets_do(cluster, other, pod, asked)
    assert cluster.node(other).sh(f"cat {pod}/file").stdout == b"kept\n"
    assert cluster.node("n1").run(["mountpoint", "-q", pod]).code != 0
    cluster.driver(other).must("unmount", pod)
    cluster.wait_detached("n1", name)
    cluster.delete_volume("n1", name)
    wait_until(lambda: cluster.volume("n1", name) is None, 120, f"{name} is gone")
