"""What happens when a node, a link or an agent dies: the cases of the design that this stage covers."""

from collections.abc import Callable

import pytest
from cluster import CallFailed, Cluster
from containerd import ready_sandbox
from lab import wait_until
from pods import checksum, holding_open, mount_as_kubelets_do, write_random


@pytest.mark.long
def test_the_primarys_node_loses_its_power(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    before = write_random(cluster, "n1", f"{pod}/before", 20)
    cluster.node("n1").power_off()
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/before") == before
    after = write_random(cluster, "n2", f"{pod}/after", 20)
    shown = cluster.volume("n2", name)
    assert shown["attached_to"] == "n2" and shown["state"] == "Degraded"
    assert [replica["node"] for replica in shown["replicas"] if replica["current"]] == ["n2"]

    cluster.node("n1").power_on()
    cluster.wait_state("n2", name, "Ready")
    assert cluster.replica("n2", name, "n1")["role"] == "Secondary"
    cluster.driver("n2").must("unmount", pod)
    cluster.wait_detached("n2", name)
    cluster.driver("n1").must("mount", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/before") == before
    assert checksum(cluster, "n1", f"{pod}/after") == after


@pytest.mark.long
def test_the_secondarys_node_loses_its_power(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, _ = mounted
    cluster.node("n2").power_off()
    # The write hangs until the arbiter has taken n2 out, then it goes on.
    alone = write_random(cluster, "n1", f"{pod}/alone", 10)
    shown = cluster.volume("n1", name)
    assert [replica["node"] for replica in shown["replicas"] if replica["current"]] == ["n1"]
    cluster.node("n2").power_on()
    cluster.wait_state("n1", name, "Ready")
    assert checksum(cluster, "n1", f"{pod}/alone") == alone


def test_the_stale_copy_is_refused_when_it_comes_back_first(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    cluster.node("n2").power_off()
    alone = write_random(cluster, "n1", f"{pod}/alone", 5)
    cluster.node("n1").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n1").get("alive") is False, 120, "n1 counts as gone")
    reply = cluster.driver("n2").call("mount", pod, asked)
    assert not reply.succeeded
    assert "may lack the newest writes" in reply.message and "n1" in reply.message
    cluster.node("n1").power_on()
    cluster.wait_state("n3", name, "Ready")
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/alone") == alone


@pytest.mark.long
def test_the_link_breaks_and_the_primary_goes_on(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    with holding_open(cluster, "n1", f"{pod}/open"):
        cluster.lab.cut("n1", "n2")
        alone = write_random(cluster, "n1", f"{pod}/alone", 5)
        refused = cluster.driver("n2").call("mount", pod, asked)
        assert not refused.succeeded and f"{name} is in use on n1" in refused.message
        cluster.lab.heal()
        cluster.wait_state("n1", name, "Ready")
        assert checksum(cluster, "n1", f"{pod}/alone") == alone


@pytest.mark.long
def test_a_mounted_volume_is_not_taken_from_a_living_node_that_uses_it(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    name, pod, asked = mounted
    with holding_open(cluster, "n1", f"{pod}/open"):
        with pytest.raises(CallFailed, match=rf"{name} is in use on n1: process \d+ \(sleep\)"):
            cluster.driver("n2").must("mount", pod, asked)
    # Nobody uses it any more: a left-over mount, which the node gives up by itself.
    mount_as_kubelets_do(cluster, "n2", pod, asked)


@pytest.mark.finding("D1")
def test_a_mounted_volume_is_not_taken_from_a_pod_without_a_process(
    cluster: Cluster, mounted: tuple[str, str, str]
) -> None:
    """A container that crashes again and again; its volume stays until the runtime no longer knows the pod."""
    name, pod, asked = mounted
    n1 = cluster.node("n1")
    with ready_sandbox(n1, "pod1"):
        kept = write_random(cluster, "n1", f"{pod}/kept", 1)
        for _ in range(2):
            refused = cluster.driver("n2").call("mount", pod, asked)
            assert not refused.succeeded
            assert f"{name} is in use on n1: mounted for pod prod/db-0 (uid pod1)" in refused.message
            assert "delete the pod" in refused.message
        assert checksum(cluster, "n1", f"{pod}/kept") == kept
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/kept") == kept
    assert n1.run(["mountpoint", "-q", pod]).code != 0


@pytest.mark.long
def test_deleting_waits_for_a_node_that_is_away(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    cluster.create_volume("n1", name, "64Mi", "n1", "n2", pool="thin")
    cluster.node("n2").power_off()
    wait_until(lambda: cluster.replica("n1", name, "n2").get("alive") is False, 120, "n2 counts as gone")
    deleted = cluster.plexvol("n1", "volume", "delete", name)
    assert deleted.code == 0 and "n2" in deleted.text
    assert cluster.volume("n1", name)["state"] == "Deleting"
    cluster.node("n2").power_on()
    wait_until(lambda: cluster.volume("n1", name) is None, 120, f"{name} is gone")
