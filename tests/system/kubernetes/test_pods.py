"""Pods, their kubelets and the agent come and go; a pod's files are there afterwards."""

import signal

from kube.cluster import NODES
from kube.installation import Installation
from lab import wait_until
from workloads import PATIENCE, Workloads, pod, restarts

CRASH = "echo started >> /data/starts; sync /data/starts; exit 1"


def starts(workloads: Workloads, name: str) -> int:
    return int(workloads.sh(name, "wc -l < /data/starts"))


def test_a_volume_outlives_its_pod(plexvol: Installation, workloads: Workloads) -> None:
    [node, *_] = plexvol.make_volume("outlives", "64Mi")
    workloads.run_pod("outlives-1", "outlives", node=node)
    workloads.delete_pod("outlives-1", "outlives")
    workloads.wait_detached("outlives")
    workloads.run_pod("outlives-2", "outlives", node=node)
    assert starts(workloads, "outlives-2") == 2


def test_a_pod_goes_on_while_its_kubelet_restarts(plexvol: Installation, workloads: Workloads) -> None:
    [node, *_] = plexvol.make_volume("goes-on", "64Mi")
    workloads.run_pod("goes-on", "goes-on", node=node)
    plexvol.cluster.restart_kubelet(node, signal.SIGKILL)
    workloads.wait_running("goes-on")
    assert (starts(workloads, "goes-on"), restarts(workloads.get("goes-on"))) == (1, 0)
    # And it is this kubelet that unmounts it.
    workloads.delete_pod("goes-on", "goes-on")
    workloads.wait_detached("goes-on")


def test_a_pod_that_is_deleted_while_its_kubelet_is_down(plexvol: Installation, workloads: Workloads) -> None:
    [node, *_] = plexvol.make_volume("kubelet-down", "64Mi")
    workloads.run_pod("kubelet-down-1", "kubelet-down", node=node)
    worker = plexvol.cluster.workers[node]
    worker.stop_kubelet(signal.SIGKILL)
    plexvol.cluster.kubectl("delete", "pod", "kubelet-down-1", "--grace-period=0", "--force")
    # Its containers run, whatever the API server knows.
    assert plexvol.volume("kubelet-down")["attached_to"] == node
    worker.start_kubelet()
    workloads.wait_detached("kubelet-down")
    workloads.run_pod("kubelet-down-2", "kubelet-down", node=node)
    assert starts(workloads, "kubelet-down-2") == 2


def test_a_pod_that_is_deleted_while_the_agents_are_down(plexvol: Installation, workloads: Workloads) -> None:
    """A kubelet unmounts its volume without an agent. The next agent detaches it."""
    [node, *_] = plexvol.make_volume("agent-down", "64Mi")
    workloads.run_pod("agent-down-1", "agent-down", node=node)
    plexvol.delete_agents()
    workloads.delete_pod("agent-down-1", "agent-down")
    plexvol.apply()
    workloads.wait_detached("agent-down")
    workloads.run_pod("agent-down-2", "agent-down", node=node)
    assert starts(workloads, "agent-down-2") == 2


def test_a_crashing_pod_keeps_its_volume(plexvol: Installation, workloads: Workloads) -> None:
    """Between two containers no process of it runs, and its next container starts without a call to the driver."""
    nodes = plexvol.make_volume("crashes", "64Mi")
    [elsewhere, *_] = [name for name in NODES if name != nodes[0]]
    workloads.apply(pod("crashes", "crashes", node=nodes[0], command=CRASH))
    wait_until(lambda: restarts(workloads.get("crashes")) >= 1, PATIENCE, "the pod has crashed")
    workloads.apply(pod("waits", "crashes", node=elsewhere))
    wait_until(lambda: "MountVolume.SetUp failed" in workloads.events("waits"), PATIENCE, "the second pod is refused")
    seen = restarts(workloads.get("crashes"))
    wait_until(lambda: restarts(workloads.get("crashes")) > seen, PATIENCE, "the first pod has crashed again")
    # As a controller-manager calls it that has lost sight of the pod.
    refused = plexvol.call(nodes[0], "detach", "crashes", nodes[0])
    assert refused["status"] == "Failure" and "mounted for pod default/crashes" in refused["message"]
    assert plexvol.volume("crashes")["attached_to"] == nodes[0]
    assert workloads.get("waits")["status"]["phase"] == "Pending"
    crashed = restarts(workloads.get("crashes"))
    workloads.delete_pod("crashes", "crashes")
    if elsewhere not in nodes:
        workloads.apply(pod("after", "crashes", node=nodes[0]))
    after = "waits" if elsewhere in nodes else "after"
    workloads.wait_running(after)
    assert starts(workloads, after) > crashed + 1


def test_twenty_pods_at_once(plexvol: Installation, workloads: Workloads) -> None:
    names = [f"many-{number}" for number in range(20)]
    workloads.apply(*(pod(name, name) for name in names))
    workloads.wait_running(*names)
    assert {starts(workloads, name) for name in names[:3]} == {1}
    assert {plexvol.volume(name)["attached_to"] for name in names} == set(NODES)
