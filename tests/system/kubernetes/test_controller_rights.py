"""What the controller may do is what it does, and where it may not, it says so.

Pods are listed and deleted when a node dies, which needs DRBD and machines that can lose their power: the controllers of
tests/system/failover have the same rights (tests/kubernetes/kube/in_lab.py), and no pod would move there without these two.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from claims import RIGHT, Claims, claim, storage_class
from kube.cluster import NODES
from kube.installation import CONTROLLER, Installation
from kube.rights import Request, Right, read
from lab import wait_until
from own_controller import API_SERVER, command, without_deployment, write_account
from workloads import PATIENCE, Workloads

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PLEXVOL_BUILD", ROOT / "build"))
COUNT_AT = ROOT / "tests/kubernetes/kube/count_at.py"
PORT = 8902
# As a kubelet starts it again.
AGAIN = """trap 'kill $child; wait $child; exit' TERM; while :; do "$@" & child=$!; wait $child; sleep 1; done"""
CLASS, REFUSED_CLASS = "with-rights", "refused-with-rights"
SIZE = "96Mi"  # that a volume is asked to grow to
LOCK = "plexvol.io-flexvolume"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
OF_DEAD_NODES = {Right("", "pods", "list"), Right("", "pods", "delete"), Right("", "nodes/status", "patch")}
NOBODY = {"apiVersion": "plexvol.io/v1alpha1", "kind": "PlexvolNode", "metadata": {"name": "nobody"}}
ROLES = (("clusterrole",), ("-n", "kube-system", "role"))


class Observed:
    """The controller, on a node, behind a proxy that writes down what it asks the API server."""

    def __init__(self, plexvol: Installation) -> None:
        self._machine = plexvol.cluster.workers[NODES[0]].machine
        self._folder = self._machine.folder / "observed"
        write_account(plexvol, self._machine.see(self._folder))
        words = [API_SERVER, self._folder / "ca.crt", self._folder / "token", str(PORT), self._folder / "log"]
        self._machine.start("count-at", ["python3", "-B", COUNT_AT, *words])

    @contextmanager
    def running(self) -> Iterator[None]:
        """It begins with an empty log."""
        self._machine.log_path("observed").unlink(missing_ok=True)
        self._machine.see(self._folder / "log").unlink(missing_ok=True)
        observed = command(BUILD, f"http://127.0.0.1:{PORT}", "--identity=observed")
        self._machine.start("observed", ["sh", "-c", AGAIN, "sh", *observed])
        yield
        self._machine.stop("observed")

    def requests(self) -> list[Request]:
        return read(self._machine.see(self._folder / "log"))

    def log(self) -> str:
        return self._machine.log_path("observed").read_text()

    def stop(self) -> None:
        self._machine.stop("count-at")


@pytest.fixture
def observed(plexvol: Installation, workloads: Workloads) -> Iterator[Observed]:
    with without_deployment(plexvol):
        workloads.apply(storage_class(CLASS, RIGHT), storage_class(REFUSED_CLASS, {"copies": "3"}))
        one = Observed(plexvol)
        yield one
        one.stop()


def role(plexvol: Installation, words: tuple[str, ...]) -> Any:
    return plexvol.cluster.get(*words, CONTROLLER)


def rights(plexvol: Installation) -> set[Right]:
    return {
        Right(group, resource, verb)
        for words in ROLES
        for rule in role(plexvol, words)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@contextmanager
def without(right: Right, plexvol: Installation) -> Iterator[None]:
    """As soon as this begins, and again when it ends, the API server knows it."""
    cluster = plexvol.cluster
    before = {words: role(plexvol, words)["rules"] for words in ROLES}

    def write(words: tuple[str, ...], rules: Any) -> None:
        cluster.kubectl(*words[:-1], "patch", words[-1], CONTROLLER, "--type=merge", "-p", json.dumps({"rules": rules}))

    def is_allowed() -> bool:
        name = [LOCK] if right.resource == "leases" and right.verb != "create" else []
        kind, _, part = right.resource.partition("/")
        resource = "/".join([f"{kind}.{right.group}" if right.group else kind, *name])
        words = [f"--as=system:serviceaccount:kube-system:{CONTROLLER}", f"--subresource={part}", right.verb, resource]
        scope = ["-n", "kube-system"] if kind == "leases" else ["-A"]
        return cluster.try_kubectl("auth", "can-i", *scope, *words).stdout.strip().endswith("yes")

    def lessen(rule: Any) -> Any:
        is_meant = right.group in rule["apiGroups"] and right.resource in rule["resources"]
        verbs = [verb for verb in rule["verbs"] if not is_meant or verb != right.verb]
        return {**rule, "verbs": verbs}

    for words, rules in before.items():
        lessened = [lessen(rule) for rule in rules]
        write(words, [rule for rule in lessened if rule["verbs"]])
    wait_until(lambda: not is_allowed(), PATIENCE, f"the controller may not {right}", interval=0.2)
    yield
    for words, rules in before.items():
        write(words, rules)
    wait_until(is_allowed, PATIENCE, f"the controller may {right} again", interval=0.2)


class Life:
    """Of claims, with all that the controller does for them. May be begun again at any point."""

    def __init__(self, name: str, plexvol: Installation, workloads: Workloads, claims: Claims) -> None:
        self.name, self.refused, self.moved = name, f"{name}-refused", f"{name}-moved"
        self._plexvol, self._cluster, self._workloads, self._claims = plexvol, plexvol.cluster, workloads, claims
        self._volume = ""

    def begin(self) -> None:
        self._cluster.kubectl("-n", "kube-system", "delete", "lease", LOCK, "--ignore-not-found")
        moved = claim(self.moved, "plexvol")
        moved["metadata"]["annotations"] = {SELECTED_NODE: "node-9"}  # which has no agent
        self._workloads.apply(claim(self.name, CLASS), claim(self.refused, REFUSED_CLASS), moved)
        self._volume = self._claims.volume_name(self.name)
        # The controller that was before has shown the nodes.
        self._cluster.kubectl("delete", "plexvolnode", NODES[0], "--ignore-not-found")
        self._cluster.kubectl("apply", "-f", "-", stdin=json.dumps(NOBODY))

    def live(self, is_over: Callable[[], bool]) -> bool:
        """False: it was over before the end."""
        def reach(condition: Callable[[], bool], what: str) -> bool:
            wait_until(lambda: is_over() or condition(), PATIENCE, what, interval=0.3)
            return not is_over()

        return (
            reach(lambda: self._is_deleted() or self._claims.phase(self.name) == "Bound", f"claim {self.name} is bound")
            and reach(self._is_told_again, f"{self.refused} has an event more than once")
            and reach(self._is_moved, f"the node of {self.moved} is refused")
            and reach(lambda: self._find_node(NODES[0]) is not None, "the node is shown")
            and reach(lambda: self._find_node("nobody") is None, "a node that does not exist is not shown")
            and reach(self._ask_size, "the volume's spec asks for more room")
            and reach(lambda: self._is_deleted() or self._shown_size() == SIZE, "the volume has more room")
            and self._ask("cordoned") and reach(lambda: self._placement() == "cordoned", "the node is shown as cordoned")
            and self._uncordon() and reach(lambda: self._placement() == "normal", "and as before")
            and self._delete()
            and reach(lambda: self._claims.traces(self._volume) == [], f"nothing is left of {self._volume}")
            and reach(lambda: self._cluster.get("plexvolvolume", self._volume) is None, f"{self._volume} is shown no longer")
        )

    def end(self) -> None:
        self._claims.delete(self.refused, self.moved)

    def events(self) -> list[str]:
        """What its claims' events say."""
        return [event["message"] for event in self._events_of(self.name, self.refused, self.moved)]

    def _events_of(self, *names: str) -> list[Any]:
        found = self._cluster.get("events") or {"items": []}  # nothing where there is none
        return [event for event in found["items"] if event["involvedObject"]["name"] in names]

    def _is_deleted(self) -> bool:
        return self._claims.find(self.name) is None

    def _is_told_again(self) -> bool:
        return any(event["reason"] == "ProvisioningFailed" and event["count"] > 1 for event in self._events_of(self.refused))

    def _is_moved(self) -> bool:
        return SELECTED_NODE not in self._claims.find(self.moved)["metadata"].get("annotations", {})

    def _find_node(self, name: str) -> Any:
        return self._cluster.get("plexvolnode", name)

    def _placement(self) -> str:
        """When its spec and its status agree; else nothing."""
        found = self._find_node(NODES[1]) or {}
        status, wanted = found.get("status", {}), found.get("spec", {}).get("placement", "")
        return wanted if wanted == status.get("placementAsked") == status.get("placement") else ""

    def _ask_size(self) -> bool:
        """False: it is not shown yet."""
        if self._is_deleted():
            return True
        if self._cluster.get("plexvolvolume", self._volume) is None:
            return False
        patch = json.dumps({"spec": {"size": SIZE}})
        self._cluster.kubectl("patch", "plexvolvolume", self._volume, "--type=merge", "-p", patch)
        return True

    def _shown_size(self) -> str:
        return str((self._cluster.get("plexvolvolume", self._volume) or {}).get("status", {}).get("size"))

    def _ask(self, placement: str) -> bool:
        patch = json.dumps({"spec": {"placement": placement}})
        self._cluster.kubectl("patch", "plexvolnode", NODES[1], "--type=merge", "-p", patch)
        return True

    def _uncordon(self) -> bool:
        self._plexvol.plexvol("node", "uncordon", NODES[1])
        return True

    def _delete(self) -> bool:
        self._cluster.kubectl("delete", "pvc", "--wait=false", "--ignore-not-found", self.name)
        return True


def test_each_right_is_used(plexvol: Installation, observed: Observed, workloads: Workloads, claims: Claims) -> None:
    """And no other one is missed."""
    life = Life("all-rights", plexvol, workloads, claims)
    life.begin()
    with observed.running():
        assert life.live(lambda: False)
        asked = observed.requests()
    life.end()
    assert [one for one in asked if one.status in (401, 403)] == []
    assert {one.right for one in asked if one.right} == rights(plexvol) - OF_DEAD_NODES


@pytest.mark.long
def test_a_right_that_is_missing_is_named(plexvol: Installation, observed: Observed, workloads: Workloads,
                                          claims: Claims) -> None:
    """One at a time. When it is given back, the same controller goes on by itself."""
    unnamed = []
    for number, right in enumerate(sorted(rights(plexvol) - OF_DEAD_NODES, key=str)):
        life = Life(f"missing-{number}", plexvol, workloads, claims)
        life.begin()

        def told(right: Right = right, life: Life = life) -> list[str]:
            words = f'cannot {right.verb} resource "{right.resource}"'
            lines = observed.log().replace('\\"', '"').splitlines() + life.events()
            return [line for line in lines if words in line]

        with ExitStack() as missing:
            missing.enter_context(without(right, plexvol))
            with observed.running():
                if life.live(lambda told=told: bool(told())):
                    unnamed.append(str(right))
                print(f"without {right}: {(told() or ['nothing'])[0]}")
                missing.close()
                assert life.live(lambda: False)
        life.end()
    assert unnamed == []
