"""An old backup of etcd that is restored, and an etcd that is empty: neither is believed, and no data is lost by it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cluster import Cluster, options, pod_dir
from lab import Node, wait_until
from lab.etcd import DATA_DIR, PEER_PORT, SERVICE, wait_healthy
from pods import checksum, holding_open, mount_as_kubelets_do, write_random

BACKUP = "/persist/backup.db"
ROLLED_BACK = "/plexvol/store/rolled-back"
ENV = {"ETCDCTL_API": "3"}


def take_backup(cluster: Cluster) -> None:
    """On the disks of all nodes."""
    n3 = cluster.node("n3")
    n3.check(["etcdctl", f"--endpoints={n3.etcd_url}", "snapshot", "save", BACKUP], env=ENV)
    content = n3.read_file(BACKUP)
    for node in cluster.lab.nodes:
        node.write_file(BACKUP, content)
        node.check(["sync", "-f", "/persist"])


def put_backup_back(cluster: Cluster, node: Node) -> None:
    """This node's member, which must not run, begins with the backup."""
    peer = "http://{}:" + str(PEER_PORT)
    members = ",".join(f"{other.name}={peer.format(other.address)}" for other in cluster.lab.nodes)
    node.sh(f"rm -rf {DATA_DIR}")
    node.check(
        ["etcdctl", "snapshot", "restore", BACKUP, f"--name={node.name}", f"--data-dir={DATA_DIR}",
         f"--initial-cluster={members}", f"--initial-advertise-peer-urls={peer.format(node.address)}"],
        env=ENV,
    )
    node.check(["sync", "-f", "/persist"])


def let_time_pass(cluster: Cluster, asked: str) -> None:
    """Much is written after the backup, as in the hours until one is restored, and the node knows of it."""
    node = cluster.node(asked)
    url = f"{node.etcd_url}/v3/kv/put"
    put = json.dumps({"key": "eA==", "value": "eA=="})  # "x" = "x"
    answers = node.check(["curl", "-sf", "-w", "\n", "-d", put, *[url] * 200]).stdout.decode()
    revision = json.loads(answers.splitlines()[-1])["header"]["revision"]

    def has_seen() -> bool:
        return int(node.read_file("/var/lib/plexvol/store-seen").split()[1]) >= int(revision)

    wait_until(has_seen, 120, f"{asked} knows how far the store has come")


def wait_rolled_back(cluster: Cluster, asked: str) -> None:
    wait_until(lambda: cluster.store_keys(asked, ROLLED_BACK) != [], 120, "the store is known to be rolled back")


def wait_answered(cluster: Cluster, asked: str, nodes: set[str]) -> None:
    def look() -> bool:
        return {key.split("/")[-1] for key in cluster.store_keys(asked, "/plexvol/acted-all/")} >= nodes

    wait_until(look, 120, f"{nodes} have said what they acted on")


def repair(cluster: Cluster, node: str, *arguments: str) -> dict[str, Any]:
    result = cluster.plexvol(node, "store", "repair", "-o", "json", *arguments)
    reply: dict[str, Any] = json.loads(result.stdout)
    return reply


@pytest.mark.finding("D19")
@pytest.mark.long
def test_a_backup_from_before_a_failover_is_not_believed(cluster: Cluster, new_name: Callable[[], str]) -> None:
    name = new_name()
    pod, asked = pod_dir(name), options(name)
    n1, n2, n3 = (cluster.node(node) for node in ("n1", "n2", "n3"))
    cluster.create_volume("n3", name, "128Mi", "n1", "n2")
    cluster.driver("n1").must("mount", pod, asked)
    write_random(cluster, "n1", f"{pod}/old", 1)
    take_backup(cluster)
    n1.power_off()
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    newest = write_random(cluster, "n2", f"{pod}/newest", 5)
    let_time_pass(cluster, "n3")
    # All of etcd is put back to the backup while n2, which has the newest data, is off: the stale node boots first.
    for node in (n2, n3):
        node.kill_service(SERVICE)
        put_backup_back(cluster, node)
    n2.power_off()
    n1.power_on()
    n1.kill_service(SERVICE)
    put_backup_back(cluster, n1)
    for node in (n1, n3):
        node.resume_service(SERVICE)
    for node in (n1, n3):
        wait_healthy(node)
    # n3 has no replica, and has seen more than there is now.
    wait_rolled_back(cluster, "n3")
    refused = cluster.driver("n1").call("mount", pod, asked)
    assert not refused.succeeded and "plexvol store repair" in refused.message, refused.message
    assert cluster.replica("n1", name, "n1")["role"] == "Secondary"
    # Without n2 nobody knows better.
    wait_answered(cluster, "n3", {"n1", "n3"})
    reply = repair(cluster, "n3", "--apply")
    assert not reply["done"] and [volume["in_doubt"] for volume in reply["volumes"]] == [True], reply
    n2.power_on()
    wait_healthy(n2)
    cluster.wait_alive(["n1", "n2", "n3"])
    wait_until(lambda: "plexvol store repair" in cluster.replica("n3", name, "n2").get("error", ""), 120, "n2 says what is wrong")
    wait_answered(cluster, "n3", {"n1", "n2", "n3"})
    reply = repair(cluster, "n3", "--apply")
    assert reply["done"], reply
    assert cluster.store_keys("n3", ROLLED_BACK) == []
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    assert checksum(cluster, "n2", f"{pod}/newest") == newest
    cluster.wait_state("n3", name, "Ready")
    cluster.driver("n2").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    assert checksum(cluster, "n1", f"{pod}/newest") == newest
    cluster.driver("n1").must("unmount", pod)
    cluster.wait_detached("n3", name)
    cluster.delete_volume("n3", name)


@pytest.mark.finding("D19")
@pytest.mark.long
def test_an_empty_etcd_loses_no_volume(cluster: Cluster, mounted: tuple[str, str, str]) -> None:
    name, pod, asked = mounted
    content = write_random(cluster, "n1", f"{pod}/content", 1)
    with holding_open(cluster, "n1", f"{pod}/held"):
        for node in cluster.lab.nodes:
            node.kill_service(SERVICE)
        for node in cluster.lab.nodes:
            node.sh(f"rm -rf {DATA_DIR}")
            node.resume_service(SERVICE)
        for node in cluster.lab.nodes:
            wait_healthy(node)
        wait_rolled_back(cluster, "n3")
        cluster.wait_alive(["n1", "n2", "n3"])
        assert cluster.volume("n3", name) is None
        refused = cluster.plexvol("n3", "volume", "create", "another", "--size", "64Mi", "--pool", "thick")
        assert refused.code != 0 and b"plexvol store repair" in refused.stderr, refused.text
        assert "FAULT" in cluster.plexvol("n3", "doctor").stdout.decode()
        # It is used as before.
        assert checksum(cluster, "n1", f"{pod}/content") == content
        write_random(cluster, "n1", f"{pod}/more", 1)
        wait_answered(cluster, "n3", {"n1", "n2"})
        assert repair(cluster, "n3", "--apply")["done"]
        other = pod_dir(name, "pod2")
        mount_as_kubelets_do(cluster, "n1", other, asked)
        cluster.wait_state("n3", name, "Ready")
        assert checksum(cluster, "n1", f"{other}/content") == content
    cluster.driver("n1").must("unmount", other)
    # The cluster's own agents have noted which etcd they use now.
    for node in ("n1", "n2", "n3"):
        cluster.kill_agent(node)
        cluster.resume_agent(node)
    cluster.wait_alive(["n1", "n2", "n3"])
    assert cluster.store_keys("n3", ROLLED_BACK) == []
