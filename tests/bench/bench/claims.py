"""Claims by the hundred in a cluster of a hundred nodes with hundreds of labels: what the controller asks of a genuine API
server, and of its agent.

The API server, the controller-manager, one agent with image files in memory, and the controller are on this machine. There
is no kubelet: of the nodes there are only their objects. Requests and bytes are counted by a proxy in front of the API
server (tests/kubernetes/kube/count_at.py).
"""

import time
from collections import Counter

from kube.api_only import AGENT, CONTROLLER, NODE, ApiOnly, claim, node
from kube.rights import count, received
from lab import wait_until

from .etcd import resident_mib
from .report import Line, words

NODES, LABELS = 100, 200
AT_ONCE = 500
MANY = 1000
PATIENCE = 900
IDLE_SECONDS = 60
CHANGE_SECONDS = 20
REST_SECONDS = 5
BOTH = (CONTROLLER, AGENT)


class Used:
    """Processor time of these, since it was made."""

    def __init__(self, cluster: ApiOnly, *names: str) -> None:
        self._pids = {name: cluster.pid(name) for name in names}
        self._before = {name: self._seconds(name) for name in self._pids}
        self._begin = time.monotonic()

    def _seconds(self, name: str) -> float:
        return time.clock_gettime((~self._pids[name] << 3) | 2)  # as clock_getcpuclockid(3) answers

    def seconds(self, name: str) -> float:
        return self._seconds(name) - self._before[name]

    def percent(self, name: str) -> float:
        return self.seconds(name) / (time.monotonic() - self._begin) * 100


def await_rest(cluster: ApiOnly) -> None:
    """Until the controller has asked nothing for a while but what keeps its lead."""

    def rests() -> bool:
        before = sum(count(cluster.requests()).values())
        time.sleep(REST_SECONDS)
        return sum(count(cluster.requests()).values()) == before

    wait_until(rests, PATIENCE, "the controller rests")


def told(asked: Counter[str], over: float) -> str:
    return ", ".join(f"{right} {number / over:.3g}" for right, number in asked.most_common() if number / over >= 0.005)


def make(cluster: ApiOnly, first: int, end: int) -> float:
    """Seconds until all are bound."""
    begin = time.monotonic()
    cluster.create([claim(f"claim-{number}") for number in range(first, end)])
    cluster.wait_bound(end, PATIENCE)
    return time.monotonic() - begin


def measure() -> list[Line]:
    with ApiOnly() as cluster:
        cluster.start_controller()
        cluster.create([node(f"labelled-{number}", LABELS) for number in range(NODES)])
        await_rest(cluster)
        empty = resident_mib(cluster.pid(CONTROLLER))
        make(cluster, 0, LABELS)
        await_rest(cluster)
        lines = measure_label(cluster)
        lines += measure_claims(cluster, LABELS + 1)
        make(cluster, LABELS + 1 + AT_ONCE, MANY)
        await_rest(cluster)
        memory = {name: resident_mib(cluster.pid(name)) for name in BOTH}
        lines.append(Line(f"the controller's memory with {MANY} volumes", memory[CONTROLLER], "MiB",
                          detail=f"{empty:.3g} with none; the agent's {memory[AGENT]:.3g}"))
        lines += measure_idle(cluster)
        lines += measure_changes(cluster)
        assert cluster.warnings() == [], cluster.warnings()[:5]
        return lines


def measure_label(cluster: ApiOnly) -> list[Line]:
    cluster.forget_requests()
    make(cluster, LABELS, LABELS + 1)
    await_rest(cluster)
    requests = cluster.requests()
    size = len(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}"))
    patches = [one for one in requests if str(one.right) == "patch nodes"]
    came = received(requests, "nodes")
    by_verb = ", ".join(f"{verb} {number}" for verb, number in came.items())
    return [
        Line(f"one label changes among {NODES + 1} nodes of {LABELS} labels: requests for it", len(patches), "requests",
             most=1, detail=f"of {sum(one.sent for one in patches)} bytes"),
        Line("of it: bytes of nodes that the controller is sent", sum(came.values()) / size, "times that node", most=2.5,
             detail=f"{by_verb}; that node is {size} bytes of JSON"),
    ]  # fmt: skip


def measure_claims(cluster: ApiOnly, first: int) -> list[Line]:
    cluster.forget_requests()
    used = Used(cluster, *BOTH)
    took = make(cluster, first, first + AT_ONCE)
    await_rest(cluster)
    asked = count(cluster.requests())
    of_each = {name: used.seconds(name) / AT_ONCE for name in BOTH}
    return [
        Line(f"{AT_ONCE} claims at once: requests to the API server for each", sum(asked.values()) / AT_ONCE, "requests",
             most=8, detail=f"{told(asked, AT_ONCE)}; all were bound after {words(took)}"),
        Line(f"{AT_ONCE} claims at once: processor time of the controller for each", of_each[CONTROLLER] * 1e3, "ms",
             detail=f"of the agent {words(of_each[AGENT])}"),
    ]  # fmt: skip


def measure_idle(cluster: ApiOnly) -> list[Line]:
    cluster.forget_requests()
    used = Used(cluster, *BOTH)
    time.sleep(IDLE_SECONDS)  # what is measured is that nothing happens
    percent = {name: used.percent(name) for name in BOTH}
    requests = cluster.requests()
    asked = count(requests)
    lease = sum(1 for one in requests if one.right and one.right.resource == "leases")
    watches = sum(1 for one in requests if one.right and one.right.verb == "watch" and one.status)
    return [
        Line(f"idle, with {MANY} volumes: requests in ten seconds beside the watches and the lease",
             sum(asked.values()) / IDLE_SECONDS * 10, "requests", most=1,
             detail=f"in {IDLE_SECONDS} s {told(asked, 1) or 'none'}; {watches} watches begun, {lease} of the lease"),
        Line(f"idle, with {MANY} volumes: the controller", percent[CONTROLLER], "% of a processor", most=1,
             detail=f"over {IDLE_SECONDS} s; the agent {percent[AGENT]:.3g} %"),
    ]  # fmt: skip


def measure_changes(cluster: ApiOnly) -> list[Line]:
    """Volumes come and go all the time, so the controller lists all of them as often as it does."""
    used = Used(cluster, *BOTH)
    turns = change_volumes(cluster)
    percent = {name: used.percent(name) for name in BOTH}
    cluster.stop_controller()
    used = Used(cluster, AGENT)
    others = change_volumes(cluster)
    alone = used.percent(AGENT)
    return [
        Line(f"volumes change all the time, of {MANY}: the agent, beyond what it takes without the controller",
             percent[AGENT] - alone, "% of a processor", most=20,
             detail=f"{percent[AGENT]:.3g} % with {turns} changes in {CHANGE_SECONDS} s, {alone:.3g} % with {others} "
             f"and no controller; the controller itself {percent[CONTROLLER]:.3g} %"),
    ]  # fmt: skip


def change_volumes(cluster: ApiOnly) -> int:
    """How often."""
    turns = 0
    end = time.monotonic() + CHANGE_SECONDS
    while time.monotonic() < end:
        cluster.ask_agent("volume/create", {"name": "changes", "size": "16Mi", "replicas": 1})
        cluster.ask_agent("volume/delete", {"name": "changes"})
        turns += 1
        time.sleep(0.25)
    return turns
