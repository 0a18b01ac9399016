"""A node dies, and its pods go on elsewhere with all that was acknowledged; and when nothing may be deleted.

Kubernetes has its own default times: alone it would leave the pods where they are for five minutes and more.
"""

import os

import pytest
from kube.cluster import CONTROL
from kube.control_plane import PORT
from kube.in_lab import STORE
from lab import wait_until
from timeline import ALL_PARTS, Timeline
from world import LEASE_SECONDS, PATIENCE, World, Writer

pytestmark = pytest.mark.long

HOST_PATH = {"name": "host", "hostPath": {"path": "/var/tmp"}}
# So many writes, five a second at most: a lease that nobody renews has ended by then, and a controller that would do something
# has done it.
A_WHILE = 5 * LEASE_SECONDS + 25
TROUBLE = "at least half of the nodes have lost their leases"
# For a median: how often the node of a pod dies.
ROUNDS = int(os.environ.get("PLEXVOL_FAILOVERS", "1"))


def fail_over(world: World, writer: Writer, node: str, what: str, store: int = 0) -> str:
    """Takes the node's power away, and with it that of this member of etcd, and prints when what happened. Returns where
    the pod is then."""
    survivor = world.survivor(writer.volume, node)
    with Timeline(world, writer, node) as timeline:
        timeline.begin()
        world.lab.node(node).power_off()
        if store:
            world.kubernetes.lose_store(store)
        writer.wait_on(survivor)
        writer.check_nothing_is_lost(survivor)
        timeline.note_survivor(world.lab.node(survivor))
    ALL_PARTS.setdefault(what, []).append(timeline.parts())
    print(f"\n{what}: {node} loses its power, {writer.pod} goes to {survivor}:\n{timeline.report()}")
    return survivor


@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_a_pod_of_a_dead_node_goes_on_elsewhere(world: World, number: int) -> None:
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    survivor = fail_over(world, writer, "n1", "the pod's node dies")
    assert world.labelled(writer.volume) == [survivor]
    world.wait_event("Pod", writer.pod, rf"FailedOver: node n1 is down: .*{writer.volume}")
    world.wait_event("PersistentVolumeClaim", writer.claim, rf"FailedOver: node n1 is down: .*{writer.pod}")
    world.wait_event("Node", "n1", rf"VolumesMoved: node n1 is down: .*{writer.volume}")

    world.lab.node("n1").power_on()
    world.agents.wait_state(survivor, writer.volume, "Ready", timeout=PATIENCE)
    wait_until(lambda: world.labelled(writer.volume) == sorted(["n1", survivor]), PATIENCE, "n1 has its label again")
    writer.check_nothing_is_lost(survivor)


def test_what_a_dead_node_lists_as_in_use_is_taken_from_it(world: World) -> None:
    """As kubelets list it where Kubernetes attaches. That it is detached then: tests/system/kubernetes/test_upgrade.py."""
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    survivor = world.survivor(writer.volume, "n1")
    world.lab.node("n1").power_off()
    others = ["kubernetes.io/csi/x^1", "plexvol/plexvol/another"]
    world.kubernetes.list_in_use("n1", [others[0], f"plexvol/plexvol/{writer.volume}", others[1]])
    writer.wait_on(survivor)
    assert world.kubernetes.get("node", "n1")["status"]["volumesInUse"] == others


def test_the_node_of_the_leading_controller_dies(world: World) -> None:
    writer = world.start_writer("n1")
    world.kubernetes.make_leader("n1")
    fail_over(world, writer, "n1", "the node of the pod and of the leading controller dies")


def test_the_node_of_the_leader_of_etcd_dies(world: World) -> None:
    """The members of etcd are beside the control plane here, so the nearest thing: the one that leads, and that agents ask
    first, is killed when the node's power goes, and from then on its address is as silent as that of a dead machine."""
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    world.kubernetes.make_store_leader(STORE[0])
    fail_over(world, writer, "n1", "the pod's node and the leader of etcd die", store=STORE[0])


def test_a_node_that_is_cut_off_from_all_others_loses_its_pods(world: World) -> None:
    """It runs on: what its pod writes from then on is never acknowledged, and it lets go when it is back."""
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    survivor = world.survivor(writer.volume, "n1")
    world.lab.cut("n1")
    writer.wait_on(survivor)
    writer.check_nothing_is_lost(survivor)
    world.lab.heal()
    world.agents.wait_state(survivor, writer.volume, "Ready", timeout=PATIENCE)
    wait_until(lambda: not world.is_mounted("n1", writer.volume), PATIENCE, f"n1 has {writer.volume} unmounted", interval=1)
    writer.check_nothing_is_lost(survivor)


def test_a_pod_with_a_host_path_is_left_alone_unless_its_annotation_says_otherwise(world: World) -> None:
    left = world.start_writer("n1", volumes=[HOST_PATH])
    moves = world.start_writer("n1", volumes=[HOST_PATH], annotations={"plexvol.io/failover": "on"})
    world.lead_elsewhere("n1")
    world.lab.node("n1").power_off()
    survivor = world.survivor(moves.volume, "n1")
    moves.wait_on(survivor)
    moves.check_nothing_is_lost(survivor)
    world.wait_event("Pod", left.pod, "NotFailedOver: node n1 is down .*: it uses a hostPath; delete it")
    assert left.is_untouched()


def test_a_node_that_only_the_api_server_cannot_reach_keeps_its_pods(world: World) -> None:
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    world.lab.cut("n1", CONTROL, port=PORT)
    wait_until(lambda: not world.kubernetes.is_ready("n1"), PATIENCE, "Kubernetes has given n1 up", interval=1)
    writer.wait_writes(A_WHILE)
    assert writer.is_untouched()
    assert world.agents.volume("n2", writer.volume)["attached_to"] == "n1"


def test_a_node_whose_agent_alone_is_down_keeps_its_pods(world: World) -> None:
    writer = world.start_writer("n1")
    leader = world.lead_elsewhere("n1")
    world.agents.kill_agent("n1")
    wait_until(lambda: not world.is_alive(leader, "n1"), PATIENCE, "the agent of n1 counts as gone", interval=1)
    writer.wait_writes(A_WHILE)
    assert writer.is_untouched()
    assert "n1" in world.labelled(writer.volume)
    assert world.agents.volume(leader, writer.volume)["attached_to"] == "n1"


def test_half_of_the_leases_are_lost(world: World) -> None:
    """And the copies have lost each other: only that the agents are two keeps the pod. When there is one, it moves."""
    writer = world.start_writer("n1")
    survivor = world.survivor(writer.volume, "n1")
    (third,) = {"n1", "n2", "n3"} - {"n1", survivor}
    world.kubernetes.make_leader(survivor)
    said = world.count_said(survivor, TROUBLE)
    world.agents.kill_agent("n1")
    world.agents.kill_agent(third)
    for name in ("n1", third):
        wait_until(lambda name=name: not world.is_alive(survivor, name), PATIENCE, f"{name} counts as gone", interval=1)
    world.lab.cut("n1", survivor)

    def is_cut_off() -> bool:
        return world.agents.replica(survivor, writer.volume, survivor).get("connection") not in ("Connected", "", None)

    wait_until(is_cut_off, PATIENCE, f"the copy on {survivor} has lost its connection", interval=1)
    world.wait_looked(survivor)
    assert world.count_said(survivor, TROUBLE) == said + 1
    assert writer.is_untouched()
    assert world.agents.volume(survivor, writer.volume)["attached_to"] == "n1"

    world.agents.resume_agent(third)
    writer.wait_on(survivor)
    writer.check_nothing_is_lost(survivor)


def test_etcd_loses_its_majority_for_a_while(world: World) -> None:
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    for number in STORE[1:]:
        world.kubernetes.kill_store(number)
    writer.wait_writes(A_WHILE)
    for number in STORE[1:]:
        world.kubernetes.start_store(number)
    world.agents.wait_alive(["n1", "n2", "n3"])
    writer.wait_writes(A_WHILE)
    assert writer.is_untouched()
    assert "n1" in world.labelled(writer.volume)


def test_the_api_server_is_away_for_a_while(world: World) -> None:
    writer = world.start_writer("n1")
    world.lead_elsewhere("n1")
    world.kubernetes.stop_apiserver()
    writer.wait_writes(A_WHILE)
    world.kubernetes.start_apiserver()
    wait_until(world.kubernetes.leader, PATIENCE, "a controller leads", interval=1)
    for name in ("n1", "n2", "n3"):
        wait_until(lambda name=name: world.kubernetes.is_ready(name), PATIENCE, f"{name} is ready", interval=1)
    writer.wait_writes(A_WHILE)
    assert writer.is_untouched()
    assert "n1" in world.labelled(writer.volume)
