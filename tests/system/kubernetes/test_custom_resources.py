"""kubectl shows volumes and nodes, and asks for what a node is to become."""

import json
from typing import Any

import pytest
from claims import Claims, claim, pod_of, storage_class
from kube.cluster import NODES
from kube.installation import Installation
from lab import LabError, wait_until
from workloads import PATIENCE, Workloads

CLASS = {"copies": "1", "pool": "default"}
VOLUME, NODE = "plexvolvolume", "plexvolnode"


class Shown:
    def __init__(self, plexvol: Installation) -> None:
        self.cluster = plexvol.cluster

    def find(self, kind: str, name: str) -> Any:
        return self.cluster.get(kind, name)

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found = self.find(kind, name)
        return found.get("status", {}) if found else {}

    def condition(self, kind: str, name: str, type_: str) -> dict[str, Any]:
        found = [one for one in self.status(kind, name).get("conditions", []) if one["type"] == type_]
        return found[0] if found else {}

    def wait(self, kind: str, name: str, **wanted: Any) -> None:
        def is_shown() -> bool:
            status = self.status(kind, name)
            return all(status.get(key) == value for key, value in wanted.items())

        wait_until(is_shown, PATIENCE, f"{kind} {name} shows {wanted}", interval=0.3)

    def row(self, kind: str, name: str) -> dict[str, str]:
        """As people read it: by the head of each column. Short names are known to a kubectl that has seen the long ones."""
        head, line = self.cluster.kubectl("get", kind, name).splitlines()
        columns = [(word, head.index(word)) for word in ("NAME", "STATE", "SIZE", "COPIES", "USED BY", "PLACEMENT",
                                                         "VOLUMES", "POOLS", "VERSION", "DRBD", "AGE") if word in head]
        columns.sort(key=lambda column: column[1])
        ends = [start for _, start in columns[1:]] + [len(line)]
        return {word: line[start:end].strip() for (word, start), end in zip(columns, ends, strict=True)}

    def ask(self, node: str, placement: str) -> None:
        self.cluster.kubectl("patch", NODE, node, "--type=merge", "-p", json.dumps({"spec": {"placement": placement}}))

    def ask_of_volume(self, volume: str, **spec: Any) -> None:
        self.cluster.kubectl("patch", VOLUME, volume, "--type=merge", "-p", json.dumps({"spec": spec}))


@pytest.fixture
def shown(plexvol: Installation) -> Shown:
    return Shown(plexvol)


def cordon_of(plexvol: Installation, node: str) -> str:
    listed = json.loads(plexvol.plexvol("node", "list", "-o", "json"))["nodes"]
    return str(next(one["cordon"] for one in listed if one["name"] == node))


def test_a_volume_is_shown_as_long_as_there_is_one(plexvol: Installation, workloads: Workloads, claims: Claims,
                                                   shown: Shown) -> None:
    workloads.apply(claim("shown", "plexvol"), pod_of("shown", "shown", NODES[1]))
    [volume] = claims.wait_bound("shown")
    workloads.wait_running("shown")
    shown.wait(VOLUME, volume, state="Ready", node=NODES[1])
    row = shown.row("pxv", volume)
    assert (row["STATE"], row["SIZE"], row["COPIES"]) == ("Ready", "64Mi", NODES[1])
    assert row["USED BY"] == f"default/shown on {NODES[1]}"
    assert shown.condition(VOLUME, volume, "Healthy")["status"] == "True"
    assert shown.status(VOLUME, volume)["claim"] == {"namespace": "default", "name": "shown"}

    # What its spec asks for is refused by name, or done: no node here has DRBD.
    shown.ask_of_volume(volume, copies=2)
    shown.wait(VOLUME, volume, copiesAsked=2, wantedCopies=1)
    refused = shown.condition(VOLUME, volume, "RequestDone")
    assert refused["status"] == "False" and "cannot have a second replica" in refused["message"], refused

    # Somebody deletes the object: the volume stays, and is shown again.
    before = shown.find(VOLUME, volume)["metadata"]["uid"]
    shown.cluster.kubectl("delete", VOLUME, volume)
    wait_until(lambda: (shown.find(VOLUME, volume) or {"metadata": {"uid": before}})["metadata"]["uid"] != before, PATIENCE,
               "it is shown again")
    shown.wait(VOLUME, volume, state="Ready")
    workloads.sh("shown", "touch /data/file && sync /data/file")

    workloads.delete_pod("shown", volume)
    shown.cluster.kubectl("delete", "pod", "shown", "--force", "--grace-period=0", "--ignore-not-found")
    shown.ask_of_volume(volume, size="96Mi")
    shown.wait(VOLUME, volume, size="96Mi", sizeAsked="96Mi")
    assert shown.condition(VOLUME, volume, "RequestDone")["status"] == "True"
    claims.delete("shown")
    claims.wait_gone(volume)
    wait_until(lambda: shown.find(VOLUME, volume) is None, PATIENCE, "it is shown no longer")


def test_a_node_is_cordoned_by_kubectl_and_by_the_command_line(plexvol: Installation, workloads: Workloads, claims: Claims,
                                                               shown: Shown) -> None:
    node, other = NODES[0], NODES[1]
    shown.wait(NODE, node, state="Up", placement="normal", placementAsked="normal")
    row = shown.row("pxn", node)
    assert row["PLACEMENT"] == "normal" and "free" in row["POOLS"] and row["VERSION"] == "0.1.0"

    shown.ask(node, "cordoned")
    wait_until(lambda: cordon_of(plexvol, node) == "cordoned", PATIENCE, "the node is cordoned")
    shown.wait(NODE, node, placement="cordoned", placementAsked="cordoned")
    assert shown.condition(NODE, node, "RequestDone")["status"] == "True"
    workloads.apply(storage_class("shown-at-once", CLASS), claim("elsewhere", "shown-at-once"))
    [volume] = claims.wait_bound("elsewhere")
    assert claims.copies(volume) == [other]

    # The spec follows what was asked for by the command line, and does not take it back.
    plexvol.plexvol("node", "uncordon", node)
    wait_until(lambda: shown.find(NODE, node)["spec"]["placement"] == "normal", PATIENCE, "the spec follows")
    shown.wait(NODE, node, placement="normal", placementAsked="normal")
    assert cordon_of(plexvol, node) == ""

    shown.ask(other, "draining")
    shown.wait(NODE, other, placement="draining", placementAsked="draining")
    drained = shown.condition(NODE, other, "Drained")
    assert drained["status"] == "False" and "still to be moved: " in drained["message"] and volume in drained["message"]
    # That a drain ends, and the node stays cordoned.
    shown.ask(other, "cordoned")
    wait_until(lambda: cordon_of(plexvol, other) == "cordoned", PATIENCE, "the drain has ended")
    shown.ask(other, "normal")
    wait_until(lambda: cordon_of(plexvol, other) == "", PATIENCE, "the node is as before")
    claims.delete("elsewhere")
    claims.wait_gone(volume)


def test_what_a_node_cannot_become_is_refused_by_the_server(shown: Shown) -> None:
    shown.wait(NODE, NODES[0], state="Up")
    with pytest.raises(LabError, match="Unsupported value: \"gone\""):
        shown.ask(NODES[0], "gone")


def test_what_is_shown_of_nothing_goes(shown: Shown) -> None:
    made = {"apiVersion": "plexvol.io/v1alpha1", "kind": "PlexvolVolume", "metadata": {"name": "nothing"}}
    shown.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    wait_until(lambda: shown.find(VOLUME, "nothing") is None, PATIENCE, "it is gone")
