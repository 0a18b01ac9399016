"""What the tests of failover do with a cluster: workloads that write, and what is seen of them from outside."""

import itertools
import json
import os
import re
from typing import Any

from containerd import PAUSE_IMAGE
from kube.in_lab import CONTROLLER, STORE, LabKubernetes
from lab import Command, LabError, wait_until

PATIENCE = 300
# Of agents: as they are installed, unless another one is to be tried.
LEASE_SECONDS = int(os.environ.get("PLEXVOL_LEASE_SECONDS", "8"))
CLASS = "plexvol-mirrored"
LABEL = "volume.plexvol.io/"
_numbers = itertools.count(1)
# A line is acknowledged after the disk has it: the number, the node, and the node's uptime when it was written.
_WRITE = """
n=$(/busybox wc -l 2>/dev/null </data/log)
n=${n:-0}
while :; do
  n=$((n + 1))
  read -r up _ </proc/uptime
  echo "$n $NODE $up" >>/data/log && /busybox sync /data/log && echo "wrote $n" || exit 1
  /busybox sleep 0.2
done
"""


class World:
    def __init__(self, kubernetes: LabKubernetes) -> None:
        self.kubernetes = kubernetes
        self.agents = kubernetes.agents
        self.lab = kubernetes.lab
        self._writers: list[Writer] = []

    def heal(self) -> None:
        """Machines, network, agents, API server, and Kubernetes' word for the nodes."""
        if not self.kubernetes.control.is_running("apiserver"):
            self.kubernetes.start_apiserver()
        for number in STORE:
            if not self.kubernetes.control.is_running(f"store-{number}"):
                self.kubernetes.start_store(number)
        self.agents.restore()
        self.kubernetes.resume_controllers()
        names = [node.name for node in self.lab.nodes]
        self.agents.wait_alive(names)
        for name in names:
            wait_until(lambda name=name: self.kubernetes.is_ready(name), PATIENCE, f"{name} is ready", interval=1)

    def start_writer(self, first: str, **others: Any) -> "Writer":
        """A StatefulSet with one pod, which would like to be on the node `first` always, and starts there."""
        writer = Writer(self, f"db{next(_numbers)}", first, **others)
        self._writers.append(writer)
        return writer

    def end(self) -> None:
        self.heal()
        for writer in self._writers:
            writer.end()
        for writer in self._writers:
            writer.wait_gone()

    def survivor(self, volume: str, dead: str) -> str:
        """The node of the other copy."""
        return self.agents.other_copy(self.lab.nodes[0].name if dead != "n1" else "n2", volume, dead)

    def lead_elsewhere(self, name: str) -> str:
        """Returns the leader's node, which is another one."""
        leader = wait_until(self.kubernetes.leader, PATIENCE, "a controller leads", interval=1)
        if leader == name:
            leader = next(node.name for node in self.lab.nodes if node.name != name)
            self.kubernetes.make_leader(leader)
        return leader

    def is_alive(self, asked: str, name: str) -> bool:
        """As the agent on the node `asked` says."""
        listed = json.loads(self.agents.plexvol(asked, "node", "list", "-o", "json").stdout or b'{"nodes": []}')
        return any(node["name"] == name and node["alive"] for node in listed["nodes"])

    def wait_looked(self, asked: str) -> None:
        """Until the controller has seen all that was so before, and had time to act: what it does first for a new volume
        is its label, twice."""
        for _ in range(2):
            name = f"looked-{next(_numbers)}"
            self.agents.create_volume(asked, name, "16Mi", asked)
            wait_until(lambda name=name: self.labelled(name), PATIENCE, f"{name} has a label", interval=1)
            self.agents.delete_volume(asked, name)

    def count_said(self, name: str, text: str) -> int:
        """How often the controller on this node has said it."""
        node = self.lab.node(name)
        return int(node.run(["grep", "-c", text, node.service_log_path(CONTROLLER)]).text)

    def is_mounted(self, name: str, volume: str) -> bool:
        return volume in self.lab.node(name).read_file("/proc/mounts").decode()

    def labelled(self, volume: str) -> list[str]:
        nodes = self.kubernetes.get("nodes")["items"]
        return [node["metadata"]["name"] for node in nodes if LABEL + volume in node["metadata"]["labels"]]

    def events(self, kind: str, name: str) -> list[str]:
        """Reason and message of each."""
        wanted = f"--field-selector=involvedObject.kind={kind},involvedObject.name={name}"
        found = self.kubernetes.get("events", "-A", wanted)["items"]
        return [f"{event['reason']}: {event['message']}" for event in found]

    def wait_event(self, kind: str, name: str, pattern: str) -> None:
        """A regular expression for "REASON: MESSAGE"."""
        what = f"{kind} {name} has an event {pattern}"
        wait_until(lambda: any(re.search(pattern, said) for said in self.events(kind, name)), PATIENCE, what, interval=1)


class Writer:
    """Where one workload is, and what it wrote. `others`: more of its pod's spec, and "annotations"."""

    def __init__(self, world: World, name: str, first: str, **others: Any) -> None:
        self._world = world
        self._kubernetes = world.kubernetes
        self.name = name
        self.pod = f"{name}-0"
        self.claim = f"data-{name}-0"
        self._kubernetes.kubectl("apply", "-f", "-", stdin=json.dumps(_stateful_set(name, first, others)))
        self.wait_on(first)
        self.volume = str(self._kubernetes.get("pvc", self.claim)["spec"]["volumeName"])
        self.first_uid = self.uid()
        self._acknowledged = self._follow(first)
        self.wait_writes(3)

    def object(self) -> Any:
        return self._kubernetes.get("pod", self.pod)

    def uid(self) -> str:
        found = self.object()
        return str(found["metadata"]["uid"]) if found else ""

    def is_untouched(self) -> bool:
        """It is the first pod still, and nobody has asked for its end."""
        found = self.object()
        return (found is not None and found["metadata"]["uid"] == self.first_uid
                and "deletionTimestamp" not in found["metadata"])  # fmt: skip

    def wait_on(self, node: str, timeout: float = PATIENCE) -> None:
        def runs() -> bool:
            found = self.object()
            return found is not None and found["spec"].get("nodeName") == node and _is_ready(found)

        wait_until(runs, timeout, f"{self.pod} runs on {node}", interval=0.5)

    def _follow(self, node: str) -> Command:
        """What its container acknowledges, by the machine's serial line: also when the network is cut."""
        logs = f"/var/log/pods/default_{self.pod}_{self.first_uid}/main/*.log"
        return self._world.lab.node(node).popen(["sh", "-c", f"exec /bin/busybox tail -n +1 -f {logs}"])

    def acknowledged(self) -> int:
        """Of the first pod's last write."""
        try:
            self._acknowledged.poll()
        except LabError:
            pass  # its machine has lost its power
        numbers = re.findall(rb"wrote (\d+)\n", self._acknowledged.stdout)
        return int(numbers[-1]) if numbers else 0

    def wait_writes(self, more: int, timeout: float = PATIENCE) -> None:
        """The first pod acknowledges as many more."""
        wanted = self.acknowledged() + more
        wait_until(lambda: self.acknowledged() >= wanted, timeout, f"{self.pod} writes {more} lines more")

    def folder(self) -> str:
        """Where the volume is mounted for the pod that is there now."""
        return f"/var/lib/kubelet/pods/{self.uid()}/volumes/plexvol~plexvol/{self.volume}"

    def lines(self, node: str) -> list[tuple[int, str, float]]:
        """Number, node and uptime of each line, as they are read on this node."""
        text = self._world.lab.node(node).check(["cat", f"{self.folder()}/log"]).stdout.decode()
        return [(int(words[0]), words[1], float(words[2])) for words in map(str.split, text.splitlines())]

    def check_nothing_is_lost(self, node: str) -> None:
        """Each line that was acknowledged is there, once and in order, and the new pod goes on behind them."""
        acknowledged = self.acknowledged()
        assert acknowledged > 0

        def goes_on() -> bool:
            return any(line[1] == node for line in self.lines(node))

        wait_until(goes_on, PATIENCE, f"{self.pod} writes on {node}")
        lines = self.lines(node)
        assert [number for number, _, _ in lines] == list(range(1, len(lines) + 1))
        of_first = [number for number, where, _ in lines if where != node]
        assert of_first and of_first[-1] >= acknowledged

    def end(self) -> None:
        self._acknowledged.close()
        options = ["--wait=false", "--ignore-not-found"]
        self._kubernetes.kubectl("delete", "statefulset", self.name, *options)
        self._kubernetes.kubectl("delete", "pod", self.pod, "--force", "--grace-period=0", *options)
        self._kubernetes.kubectl("delete", "pvc", self.claim, *options)

    def wait_gone(self) -> None:
        def is_gone() -> bool:
            return self._kubernetes.get("pv", self.volume) is None and self._world.agents.volume("n1", self.volume) is None

        wait_until(is_gone, PATIENCE, f"nothing is left of {self.name}", interval=1)


def _is_ready(pod: Any) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _stateful_set(name: str, first: str, others: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": {"app": name}, "annotations": others.pop("annotations", {})}
    on_first = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [first]}]}
    container = {
        "name": "main", "image": PAUSE_IMAGE, "imagePullPolicy": "Never", "command": ["/busybox", "sh", "-c", _WRITE],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    spec = {
        "hostNetwork": True, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": on_first}]}},
        "containers": [container], **others,
    }  # fmt: skip
    claim = {"metadata": {"name": "data"}, "spec": {
        "storageClassName": CLASS, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
        "serviceName": name, "replicas": 1, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": metadata, "spec": spec}, "volumeClaimTemplates": [claim]}}
