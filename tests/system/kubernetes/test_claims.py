"""Claims that name a StorageClass get volumes from the controller, and these go with them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from claims import RIGHT, Claims, claim, pod_of, storage_class
from kube.cluster import NODES
from kube.installation import CONTROLLER, ETCD, Installation
from lab import wait_until
from workloads import PATIENCE, Workloads, is_ready

LOCK = "plexvol.io-flexvolume"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
HAS_DRBD = Path("/sys/module/drbd").exists() or subprocess.run(["modprobe", "--dry-run", "--quiet", "drbd"]).returncode == 0


def end_pod(plexvol: Installation, workloads: Workloads, name: str, volume: str) -> None:
    """Its object goes at once: what uses a claim keeps it, and a kubelet takes up to a minute to tidy up."""
    workloads.delete_pod(name, volume)
    plexvol.cluster.kubectl("delete", "pod", name, "--force", "--grace-period=0", "--ignore-not-found")


def starts(workloads: Workloads, pod: str) -> int:
    return int(workloads.sh(pod, "wc -l < /data/starts"))


@pytest.mark.parametrize("node", [pytest.param(NODES[0], marks=pytest.mark.long), NODES[1]])
def test_a_claims_life(node: str, plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    """Its volume is made where its first pod is to run, which may be any node. Later pods have to go there."""
    name = f"life-{node}"
    workloads.apply(claim(name, "plexvol"))
    wait_until(lambda: "waiting for first consumer" in claims.describe(name), PATIENCE, "the claim waits for a pod")
    assert claims.traces(claims.volume_name(name)) == []

    workloads.apply(pod_of(name, f"{name}-1", node))
    [volume] = claims.wait_bound(name)
    workloads.wait_running(f"{name}-1")
    assert claims.copies(volume) == claims.labelled(volume) == [node]
    assert len(claims.traces(volume)) > 3  # what wait_gone() waits for is seen
    assert f"created volume {volume}: 64Mi in pool default, one copy on {node}" in claims.describe(name)
    end_pod(plexvol, workloads, f"{name}-1", volume)

    workloads.apply(pod_of(name, f"{name}-2"))
    workloads.wait_running(f"{name}-2")
    assert workloads.get(f"{name}-2")["spec"]["nodeName"] == node
    assert starts(workloads, f"{name}-2") == 2
    end_pod(plexvol, workloads, f"{name}-2", volume)
    claims.delete(name)
    claims.wait_gone(volume)


def test_a_volume_that_is_made_before_any_pod(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    workloads.apply(storage_class("at-once", {"copies": "1", "pool": "kube_vg", "fsType": "xfs"}))
    workloads.apply(claim("at-once", "at-once", "512Mi"), claim("never-used", "at-once", "512Mi"))
    [volume, unused] = claims.wait_bound("at-once", "never-used")
    made = plexvol.volume(volume)
    assert (made["pool"], made["size_bytes"]) == ("kube_vg", 512 << 20)
    # The scheduler knows where a pod can use it, also when another node is named nowhere.
    [node] = claims.copies(volume)
    assert claims.labelled(volume) == [node]
    workloads.apply(pod_of("at-once", "at-once"))
    workloads.wait_running("at-once")
    assert workloads.get("at-once")["spec"]["nodeName"] == node
    assert " /data xfs " in workloads.sh("at-once", "cat /proc/mounts")
    end_pod(plexvol, workloads, "at-once", volume)
    claims.delete("at-once", "never-used")
    claims.wait_gone(volume, unused)


def test_a_claim_that_is_made_larger(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    """First while its pod runs, then while none does. Of xfs: ext4 may be grown by few of the machines that tests run on."""
    name, parameters = "grows", {"copies": "1", "pool": "kube_vg", "fsType": "xfs"}
    workloads.apply(storage_class(name, parameters, allowVolumeExpansion=True))
    workloads.apply(claim(name, name, "512Mi"), pod_of(name, name))
    [volume] = claims.wait_bound(name)
    workloads.wait_running(name)

    def ask(size: str) -> None:
        wanted = {"spec": {"resources": {"requests": {"storage": size}}}}
        plexvol.cluster.kubectl("patch", "pvc", name, "-p", json.dumps(wanted))

    def room() -> int:
        return int(workloads.sh(name, "df -m /data | tail -n 1 | awk '{print $2}'"))

    def check(size: str, least: int) -> None:
        """Kubernetes shows the size first, and asks for it then."""
        wait_until(lambda: room() >= least, PATIENCE, f"the pod has {size}")
        assert claims.find(name)["status"]["capacity"]["storage"] == size
        assert not claims.find(name)["status"].get("conditions")
        assert plexvol.volume(volume)["filesystem_grows"] is False

    ask("768Mi")
    check("768Mi", 700)
    assert starts(workloads, name) == 1
    end_pod(plexvol, workloads, name, volume)
    ask("1Gi")
    workloads.apply(pod_of(name, name))
    workloads.wait_running(name)
    check("1Gi", 950)
    assert starts(workloads, name) == 2
    assert plexvol.volume(volume)["size_bytes"] == 1 << 30
    end_pod(plexvol, workloads, name, volume)
    claims.delete(name)
    claims.wait_gone(volume)


def stateful_set(name: str, replicas: int) -> dict[str, Any]:
    pod = pod_of("", "")["spec"]
    del pod["volumes"]
    template = claim("data", "plexvol")
    spec = {"serviceName": name, "replicas": replicas, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            "volumeClaimTemplates": [{"metadata": template["metadata"], "spec": template["spec"]}]}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


@pytest.mark.long
def test_a_stateful_set_grows_and_shrinks(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    """Its claims stay when it shrinks, and the same pods find their data when it grows again."""
    cluster = plexvol.cluster
    pods = [f"grows-{number}" for number in range(3)]
    names = [f"data-{pod}" for pod in pods]

    def scale(replicas: int) -> None:
        cluster.kubectl("scale", "statefulset/grows", f"--replicas={replicas}")

    workloads.apply(stateful_set("grows", 1))
    workloads.wait_running(pods[0])
    assert claims.find(names[1]) is None
    scale(3)
    workloads.wait_running(*pods)
    volumes = claims.wait_bound(*names)
    scale(1)
    for volume in volumes[1:]:
        workloads.wait_detached(volume)
    assert claims.wait_bound(*names) == volumes
    scale(3)

    def have_started_again() -> bool:
        return all(is_ready(workloads.get(pod)) and starts(workloads, pod) == 2 for pod in pods[1:])

    wait_until(have_started_again, PATIENCE, "the pods run again, with their data", interval=1)
    assert starts(workloads, pods[0]) == 1
    cluster.kubectl("delete", "statefulset", "grows", "--cascade=orphan")
    for pod, volume in zip(pods, volumes):
        end_pod(plexvol, workloads, pod, volume)
    claims.delete(*names)
    claims.wait_gone(*volumes)


def test_a_volume_that_is_to_be_retained(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    cluster = plexvol.cluster
    workloads.apply(storage_class("retained", RIGHT, reclaimPolicy="Retain"), storage_class("deleted", RIGHT))
    workloads.apply(claim("retained", "retained"))
    [volume] = claims.wait_bound("retained")
    workloads.apply(pod_of("retained", "retained"))
    workloads.wait_running("retained")
    end_pod(plexvol, workloads, "retained", volume)
    claims.delete("retained")

    def phase() -> str:
        return str(cluster.get("pv", volume)["status"]["phase"])

    wait_until(lambda: phase() == "Released", PATIENCE, "the PersistentVolume is released")
    # A volume that is to be deleted goes meanwhile.
    workloads.apply(claim("deleted", "deleted"))
    [other] = claims.wait_bound("deleted")
    claims.delete("deleted")
    claims.wait_gone(other)
    assert phase() == "Released" and plexvol.volume(volume)["deleting"] is False
    assert claims.labelled(volume) == claims.copies(volume) != []

    cluster.kubectl("delete", "pv", volume)
    plexvol.plexvol("volume", "delete", volume)
    claims.wait_gone(volume)


def test_a_claim_while_the_leading_controller_is_deleted(
    plexvol: Installation, workloads: Workloads, claims: Claims
) -> None:
    def leader() -> str:
        return str(plexvol.cluster.get("-n", "kube-system", "lease", LOCK)["spec"].get("holderIdentity", ""))

    before = leader()
    assert before.startswith(f"{CONTROLLER}-")
    plexvol.cluster.kubectl("-n", "kube-system", "delete", "pod", before, "--wait=false")
    workloads.apply(storage_class("taken-over", RIGHT), claim("taken-over", "taken-over"))
    [volume] = claims.wait_bound("taken-over")
    assert leader() not in (before, "")
    claims.delete("taken-over")
    claims.wait_gone(volume)


# By the claim's name: the class's parameters, what the claim asks for, and what a user is told.
REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "unknown-parameter": ({**RIGHT, "colour": "red"}, {}, 'parameter "colour" is unknown; known parameters: copies,'),
    "no-such-pool": ({"pool": "gold"}, {}, "no node has a pool named gold; there are: default, kube_vg"),
    "three-copies": ({"copies": "3"}, {}, 'parameter copies is "3": it must be 1 or 2'),
    "block": (RIGHT, {"volumeMode": "Block"}, "volumeMode Block is not supported by FlexVolume: use Filesystem"),
    "selector": (RIGHT, {"selector": {"matchLabels": {"a": "b"}}}, "a selector is not supported"),
    "shared": (RIGHT, {"accessModes": ["ReadWriteMany"]}, "access mode ReadWriteMany is not supported"),
    "too-large": (RIGHT, {"resources": {"requests": {"storage": "100Ti"}}}, "no node can take a replica of 100Ti in pool default (node-1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_claim_says_why_it_gets_no_volume(name: str, workloads: Workloads, claims: Claims) -> None:
    parameters, asked, words = REFUSED[name]
    workloads.apply(storage_class(name, parameters), claim(name, name, **asked))

    def is_told() -> bool:
        return any(words in line for line in claims.describe(name).splitlines() if "ProvisioningFailed" in line)

    wait_until(is_told, PATIENCE, f"the claim's events say: {words}", interval=0.5)
    assert claims.phase(name) == "Pending"
    assert claims.traces(claims.volume_name(name)) == []


def wait_told(claims: Claims, name: str, *words: str) -> None:
    """One event of the claim says why it has no volume, in these words."""
    def is_told() -> bool:
        lines = [line for line in claims.describe(name).splitlines() if "ProvisioningFailed" in line]
        return any(all(word in line for word in words) for line in lines)

    wait_until(is_told, PATIENCE, f"an event of claim {name} says: {', '.join(words)}", interval=0.5)


def chosen_node(claims: Claims, name: str) -> str:
    """By the scheduler."""
    return str(claims.find(name)["metadata"]["annotations"].get(SELECTED_NODE, ""))


def test_a_claim_that_no_node_has_room_for(workloads: Workloads, claims: Claims) -> None:
    """The scheduler is not asked for another node, since none would do better."""
    workloads.apply(claim("no-room", "plexvol", "100Ti"), pod_of("no-room", "no-room"))
    wait_told(claims, "no-room", "no node can take a replica of 100Ti in pool default (node-1", "node-2", "; retrying")
    assert chosen_node(claims, "no-room") in NODES
    assert claims.phase("no-room") == "Pending" and not is_ready(workloads.get("no-room"))
    assert claims.traces(claims.volume_name("no-room")) == []


def test_a_claim_whose_node_can_have_no_copy(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    """The scheduler is asked for another one."""
    def choose(node: str) -> None:
        plexvol.cluster.kubectl("annotate", "--overwrite", "pvc", "another", f"{SELECTED_NODE}={node}")

    workloads.apply(claim("another", "plexvol"))
    plexvol.plexvol("node", "cordon", NODES[0])
    choose(NODES[0])
    volume = claims.volume_name("another")
    wait_told(claims, "another", f"node {NODES[0]} cannot have a copy of volume {volume}: it is cordoned; asking the "
              f"scheduler for another node than {NODES[0]}")
    wait_until(lambda: chosen_node(claims, "another") == "", PATIENCE, "no node is chosen any more")
    choose(NODES[1])
    claims.wait_bound("another")
    assert claims.copies(volume) == [NODES[1]]
    plexvol.plexvol("node", "uncordon", NODES[0])
    claims.delete("another")
    claims.wait_gone(volume)


@pytest.mark.skipif(HAS_DRBD, reason="this machine's kernel has DRBD")
def test_a_claim_for_two_copies_on_nodes_without_drbd(workloads: Workloads, claims: Claims) -> None:
    workloads.apply(claim("two-copies", "plexvol-mirrored"), pod_of("two-copies", "two-copies"))
    wait_told(claims, "two-copies", "no node can take a replica of 64Mi in pool default "
              f"({', '.join(NODES)}: the kernel has no DRBD: ", "install ", "; retrying")
    assert chosen_node(claims, "two-copies") in NODES
    assert claims.traces(claims.volume_name("two-copies")) == []


def test_a_claim_while_etcd_is_down(plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
    cluster = plexvol.cluster

    def place_etcd(labels: dict[str, str | None]) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": labels}}}}
        cluster.kubectl("-n", "kube-system", "patch", "daemonset", ETCD, "--type=merge", "-p", json.dumps(patch))

    place_etcd({"no-such": "label"})
    machine = cluster.workers[NODES[0]].machine
    wait_until(lambda: "etcd" not in machine.processes(), PATIENCE, "etcd is down")
    workloads.apply(storage_class("etcd-down", RIGHT), claim("etcd-down", "etcd-down"))
    wait_told(claims, "etcd-down", "etcd: cannot ", "no member can be reached", "start etcd there", "; retrying")
    assert claims.phase("etcd-down") == "Pending"
    place_etcd({"no-such": None})
    [volume] = claims.wait_bound("etcd-down")
    claims.delete("etcd-down")
    claims.wait_gone(volume)


def test_only_the_controller_has_rights(plexvol: Installation) -> None:
    def may(account: str, *words: str) -> bool:
        user = f"--as=system:serviceaccount:kube-system:{account}"
        said = plexvol.cluster.try_kubectl("auth", "can-i", user, *words).stdout.strip()
        assert said.splitlines()[-1] in ("yes", "no"), said
        return said.endswith("yes")

    assert may(CONTROLLER, "create", "persistentvolumes")
    for words in (("get", "secrets", "-A"), ("delete", "nodes"), ("watch", "pods", "-A"), ("update", "persistentvolumes"),
                  ("get", "configmaps", "-n", "kube-system"), ("update", "leases", "-n", "kube-system")):
        assert not may(CONTROLLER, *words), words
    for words in (("list", "persistentvolumes"), ("get", "nodes"), ("create", "events"), ("get", "secrets", "-A")):
        assert not may("plexvol", *words), words
