"""`plexvol doctor` on a node of a cluster: faults planted one by one, and each is found, with what to do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from cluster import AGENT_PID, BUILD, MOUNT_DRIVER, PLUGINS, Cluster
from lab import Node

HELPER = "/sys/module/drbd/parameters/usermode_helper"
LVM_CONF = "/etc/lvm/lvm.conf"
KUBELET = "/var/lib/kubelet"


def hide(path: str) -> str:
    """No longer a file that can be executed; of the emulated machine alone."""
    return f"mount --bind /dev/null {path}"


@dataclass
class Plant:
    """A fault on n3, how it is mended, and what the doctor must say of it."""

    name: str
    what: str  # the line of the report
    do: str  # a part of the advice
    plant: str = "true"
    heal: str = "true"
    level: str = "fault"
    arguments: list[str] = field(default_factory=list)  # of the agent, instead of a change of the machine


PLANTS = [
    Plant("no DRBD module", "DRBD", "one replica",
          "rmmod drbd && mount -t tmpfs none /lib/modules",
          f"umount /lib/modules && modprobe drbd && printf %s {MOUNT_DRIVER} > {HELPER}"),
    Plant("somebody else's helper", "DRBD's usermode_helper", "another program has set it",
          f"kill -STOP $(cat {AGENT_PID}) && printf %s /bin/true > {HELPER}",  # or the agent takes it back
          f"printf %s {MOUNT_DRIVER} > {HELPER}; kill -CONT $(cat {AGENT_PID})", level="warning"),
    Plant("a driver that cannot be executed", "driver", "plexvol driver install",
          hide(MOUNT_DRIVER), f"umount {MOUNT_DRIVER}"),
    Plant("no volume group, and no other pool", "pool thick", "vgcreate", "vgrename vg0 vgx", "vgrename vgx vg0",
          arguments=["--pool", "name=thick,type=lvm,volume_group=vg0"]),
    Plant("no thin pool", "pool thin", "lvcreate --thinpool",
          arguments=["--pool", "name=thin,type=lvm-thin,volume_group=vg0,thin_pool=other"]),
    Plant("a pool that is nearly full", "pool thick", "delete volumes",
          "lvcreate -q -Wn -Zn -n filler -l 99%FREE vg0", "lvremove -qf vg0/filler", level="warning"),
    Plant("the host's lvm2 opens DRBD devices", "lvm2's global_filter", "global_filter = [",
          f"mount --bind {LVM_CONF}.bad {LVM_CONF}", f"umount {LVM_CONF}", level="warning"),
    Plant("no thin_check", "thin_check", "thin-provisioning-tools",
          hide("/usr/sbin/thin_check"), "umount /usr/sbin/thin_check"),
    Plant("no mkfs.xfs", "mkfs.xfs", "xfsprogs", hide("/usr/sbin/mkfs.xfs"), "umount /usr/sbin/mkfs.xfs"),
    Plant("no drbdadm", "drbdadm", "drbd-utils", hide("/usr/sbin/drbdadm"), "umount /usr/sbin/drbdadm"),
    Plant("no lvm2", "lvm2", "install lvm2", hide("/usr/sbin/lvm"), "umount /usr/sbin/lvm"),
    Plant("no udev", "udev", "systemd-udevd",
          "mv /run/udev/control /run/udev/gone", "mv /run/udev/gone /run/udev/control"),
    Plant("a read-only state directory", "directory /tmp/ro", "mount it writable",
          "mkdir -p /tmp/ro && mount -t tmpfs -o ro none /tmp/ro", "umount /tmp/ro",
          arguments=["--state-directory", "/tmp/ro"]),
    Plant("a port is taken", "ports for DRBD", "drbd.first_port",
          # The pipe's other end is opened once it listens.
          "mkfifo /tmp/listens; (python3 -c 'import socket,signal; s=socket.create_server((\"0.0.0.0\",7003));"
          " open(\"/tmp/listens\",\"w\").close(); signal.pause()' & echo $! > /tmp/taker); cat /tmp/listens",
          "kill $(cat /tmp/taker); rm /tmp/listens"),
    Plant("outgoing connections use the ports", "ports for DRBD", "ip_local_reserved_ports",
          "echo 1024 60999 > /proc/sys/net/ipv4/ip_local_port_range",
          "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range", level="warning"),
    Plant("an address of another machine", "address", "set `address`", arguments=["--address", "10.9.9.9"]),
    Plant("a socket that no driver tries", "agent's socket", "--agent-socket",
          arguments=["--socket", "/tmp/elsewhere.sock"]),
    Plant("private mounts", "mount propagation", "make-rshared",
          f"mount --make-private {KUBELET}", f"mount --make-shared {KUBELET}", level="warning"),
]


@pytest.fixture(scope="module")
def n3(running_cluster: Cluster) -> Node:
    """In order, as far as an emulated machine can be: the host's lvm2 leaves DRBD alone, and mounts are shared."""
    node = running_cluster.node("n3")
    node.sh(f"mount --make-shared {KUBELET}")
    node.sh(f"printf '%s\\n' 'devices {{ global_filter = [ \"a|.*|\" ] }}' > {LVM_CONF}.bad")
    node.sh(f"printf '%s\\n' 'devices {{ global_filter = [ \"r|^/dev/drbd|\", \"r|^/dev/plexvol/|\" ] }}' > {LVM_CONF}")
    return node


@pytest.fixture
def healed(n3: Node) -> Iterator[Callable[[Plant], None]]:
    planted: list[Plant] = []

    def plant(fault: Plant) -> None:
        planted.append(fault)
        n3.sh(fault.plant)

    yield plant
    for fault in planted:
        n3.sh(fault.heal)


def examine(node: Node, arguments: list[str]) -> tuple[int, str]:
    """As a container does before the agent starts."""
    done = node.run([str(BUILD / "plexvold"), "--doctor", *arguments], timeout=60)
    assert done.stderr == b""
    return done.code, done.stdout.decode()


def lines_of(report: str, what: str) -> str:
    """The line of the finding, and those that belong to it."""
    found: list[str] = []
    for line in report.splitlines():
        inside = bool(found) and line.startswith(" ")
        if inside or line[9:].startswith(what + "  "):
            found.append(line)
        elif found:
            break
    return "\n".join(found)


def test_a_node_in_order_has_no_fault(cluster: Cluster, n3: Node) -> None:
    code, report = examine(n3, [])
    assert (code, "FAULT" in report) == (0, False), report
    for what in ("kernel", "DRBD", "lvm2", "pool thick", "pool thin", "store", "connection to n1", "connection to n2", "driver"):
        assert lines_of(report, what).startswith("ok "), f"{what}:\n{report}"
    # The same from the agent that runs, as people ask for it.
    asked = cluster.plexvol("n3", "doctor", "-o", "json")
    findings = {finding["what"]: finding["level"] for finding in json.loads(asked.stdout)["findings"]}
    assert findings["agent"] == findings["DRBD"] == findings["DRBD's usermode_helper"] == "ok"


@pytest.mark.long
@pytest.mark.parametrize("fault", PLANTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(
    cluster: Cluster, n3: Node, healed: Callable[[Plant], None], fault: Plant
) -> None:
    healed(fault)
    code, report = examine(n3, fault.arguments)
    found = lines_of(report, fault.what)
    assert found.startswith("FAULT " if fault.level == "fault" else "warning "), report
    assert fault.do in found, found
    assert code == (1 if fault.level == "fault" else 0), report


@pytest.mark.long
def test_a_pool_may_be_on_other_nodes_only_but_not_with_a_copy_here(
    cluster: Cluster, n3: Node, new_name: Callable[[], str]
) -> None:
    elsewhere = ["--pool", "name=thick,type=lvm,volume_group=vgx", "--pool", "name=thin,type=lvm,volume_group=vg0"]
    code, report = examine(n3, elsewhere)
    assert lines_of(report, "pool thick").startswith("ok ") and "only on n1, n2" in report, report
    assert code == 0, report
    name = new_name()
    cluster.create_volume("n1", name, "64Mi", "n2", "n3")
    code, report = examine(n3, elsewhere)
    found = lines_of(report, "pool thick")
    assert found.startswith("FAULT ") and name in found and "bring its disks back" in found, report
    assert code == 1
    cluster.delete_volume("n1", name)


@pytest.mark.long
def test_what_is_cut_off_is_found(cluster: Cluster, n3: Node) -> None:
    cluster.lab.cut("n1", "n3")
    code, report = examine(n3, [])
    assert lines_of(report, "connection to n1").startswith("FAULT ") and "open TCP ports 7000" in report
    assert lines_of(report, "etcd's members").startswith("warning "), report
    assert lines_of(report, "store").startswith("ok "), report
    assert code == 1
    cluster.lab.cut("n3")
    code, report = examine(n3, [])
    assert lines_of(report, "store").startswith("FAULT ") and "etcdctl endpoint health" in report
    assert code == 1


@pytest.mark.long
def test_an_agent_that_is_not_there_is_found(cluster: Cluster) -> None:
    cluster.kill_agent("n3")
    asked = cluster.plexvol("n3", "doctor")
    text = asked.stdout.decode()
    assert asked.code == 1
    assert lines_of(text, "agent").startswith("FAULT ") and "plexvold --doctor" in text


@pytest.mark.long
def test_a_kubelet_that_looks_elsewhere_is_found(cluster: Cluster, n3: Node) -> None:
    def ask_beside_a_kubelet(directory: str) -> str:
        script = (
            "exec -a kubelet python3 -c 'import signal; print(1, flush=True); signal.pause()'"
            f" --volume-plugin-dir={directory}"
        )
        kubelet = n3.popen(["bash", "-c", script])
        try:
            next(iter(kubelet.lines(timeout=30)))
            return lines_of(cluster.plexvol("n3", "doctor").stdout.decode(), "plugin directory")
        finally:
            kubelet.kill()
            kubelet.wait(10)

    assert ask_beside_a_kubelet(PLUGINS).startswith("ok ")
    found = ask_beside_a_kubelet("/opt/elsewhere")
    assert found.startswith("FAULT ") and "plexvol driver install" in found
