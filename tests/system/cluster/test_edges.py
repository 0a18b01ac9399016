"""What 0.1.0 was caught at on real DRBD: a living node taken for a dead one, a store that takes no writes, a name that
somebody else's resource has."""

from collections.abc import Callable

import pytest
from cluster import AGENT, Cluster
from lab import etcd, wait_until
from pods import checksum, write_random
from test_arbiter import current, is_frozen, last_number, said_by, start_appending, wait_beyond


@pytest.mark.long
@pytest.mark.finding("D2", "D18")
def test_no_copy_is_forced_while_the_current_ones_node_runs_without_its_agent(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, _ = mounted
    cluster.node("n2").power_off()
    newer = write_random(cluster, "n1", f"{pod}/newer", 3)
    assert current(cluster, "n3", name)["nodes"] == ["n1"]
    cluster.kill_agent("n1")
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n2").get("connection") == "Connected", 120, "n2 is connected")
    forced = cluster.plexvol("n3", "volume", "force-current", name, "--node", "n2", "--i-accept-data-loss")
    assert forced.code != 0 and "n1 is running without its agent" in said_by(forced), said_by(forced)
    assert current(cluster, "n3", name)["nodes"] == ["n1"]
    cluster.resume_agent("n1")
    cluster.wait_state("n3", name, "Ready", 180)
    assert checksum(cluster, "n1", f"{pod}/newer") == newer


@pytest.mark.long
@pytest.mark.finding("D7", "D18")
def test_a_link_that_breaks_for_a_while_is_no_freeze_for_ever_where_etcd_takes_no_writes(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, _ = mounted
    n1 = cluster.node("n1")
    log = n1.service_log_path(AGENT)
    with start_appending(cluster, "n1", f"{pod}/numbers") as writer:
        first = int(writer.line(60) or -1)
        wait_beyond(writer, first + 5)
        wait_until(lambda: etcd.set_no_space(cluster.lab.nodes, "ACTIVATE"), 60, "etcd takes no writes")
        try:
            cluster.lab.cut("n1", "n2")
            wait_until(lambda: is_frozen(cluster, "n1", name), 120, "n1 is frozen")
            # The agent asks by itself, after the kernel.
            asked = f"grep -c 'exceeded.* volume={name}' {log} || true"
            wait_until(lambda: int(n1.sh(asked).stdout) > 1, 120, "the agent has asked in vain")
            cluster.lab.heal()
            wait_until(lambda: not is_frozen(cluster, "n1", name), 120, "the freeze is over")
            wait_beyond(writer, last_number(cluster, "n1", pod))
        finally:
            wait_until(lambda: etcd.set_no_space(cluster.lab.nodes, "DEACTIVATE"), 60, "etcd takes writes again")
        writer.kill()
    cluster.wait_state("n1", name, "Ready")


@pytest.mark.long
@pytest.mark.finding("D15")
def test_a_resource_of_somebody_else_outlives_a_volume_of_its_name(
    cluster: Cluster, new_name: Callable[[], str]
) -> None:
    name = new_name()
    n1 = cluster.node("n1")
    n1.sh(f"modprobe drbd; drbdsetup new-resource {name} && drbdsetup new-minor {name} 1900 0")
    try:
        where = ("--replicas", "2", "--nodes", "n1,n2", "--pool", "thick")
        created = cluster.plexvol("n3", "volume", "create", name, "--size", "128Mi", *where)
        assert created.code != 0 and "belongs to something else" in said_by(created), said_by(created)
        wait_until(lambda: "belongs to something else" in error_of_n1(cluster, name), 120, "n1 tells of it")
        cluster.delete_volume("n3", name)
        assert f"name:{name} " in n1.sh("drbdsetup events2 --now").stdout.decode()
    finally:
        n1.sh(f"drbdsetup down {name}")


def error_of_n1(cluster: Cluster, name: str) -> str:
    return str(cluster.replica("n3", name, "n1").get("error", ""))
