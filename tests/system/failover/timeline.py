"""When the parts of a failover happened, as seen from outside of all machines."""

import base64
import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from lab import Node
from world import LABEL, PATIENCE, World, Writer

# Where containerd has what it starts, and when it began with it.
BUNDLES = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
LEASE_GONE = "the node's lease is gone"
TAKEN = "taken over (the set has changed)"
SCHEDULED = "pod scheduled"
MOUNTED = "mounted"
SANDBOX = "containerd makes the sandbox"
CONTAINER = "containerd makes the container"
WRITTEN = "first write"
# What is left of the way then is a kubelet's and a containerd's, which an emulated processor makes many times as long.
STEPS = (SCHEDULED, MOUNTED, SANDBOX, CONTAINER, WRITTEN)
# By what has died: Timeline.parts() of each time.
ALL_PARTS: dict[str, list[dict[str, float]]] = {}


class Timeline:
    """`with Timeline(world, writer, node) as timeline:`, `node` being the one that is to die.

    By watches of the store and of the API server, which cost the emulated processors nothing.
    """

    def __init__(self, world: World, writer: Writer, node: str) -> None:
        self._world = world
        self._writer = writer
        self._node = node
        self._seen: dict[str, float] = {}
        self._begin = 0.0

    def __enter__(self) -> "Timeline":
        kubernetes = self._world.kubernetes
        watch = ["get", "-w", "-o", "json", "--output-watch-events"]
        self._processes = [
            subprocess.Popen(kubernetes.kubectl_argv(*watch, what), stdout=subprocess.PIPE, text=True)
            for what in ("pods", "nodes")
        ]
        self._processes.append(kubernetes.watch_store())
        watching = []
        for process, note in zip(self._processes, (self._note_object, self._note_object, self._note_changes)):
            watching.append(threading.Event())
            threading.Thread(target=self._read, args=[process, note, watching[-1]], daemon=True).start()
        for one in watching:
            assert one.wait(PATIENCE), "nothing is told of pods, nodes or the store"
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def begin(self) -> None:
        """Just before the power goes."""
        self._begin = time.monotonic()

    def _read(self, process: "subprocess.Popen[str]", note: Callable[[Any], None], watching: threading.Event) -> None:
        """Each line is a change; the first one tells what there is, or that the watch has begun."""
        assert process.stdout is not None
        for line in process.stdout:
            watching.set()
            if self._begin > 0.0:
                note(json.loads(line))

    def _note(self, what: str) -> None:
        self._seen.setdefault(what, time.monotonic())

    def _note_changes(self, told: Any) -> None:
        for event in told.get("result", {}).get("events", []):
            key = base64.b64decode(event["kv"]["key"]).decode().removeprefix("/plexvol/")
            self._note_key(key, event.get("type", "PUT"), base64.b64decode(event["kv"].get("value", "")))

    def _note_key(self, key: str, kind: str, value: bytes) -> None:
        volume = self._writer.volume
        if key == f"alive/{self._node}" and kind == "DELETE":
            self._note(LEASE_GONE)
        elif key == f"current/{volume}":
            self._note(TAKEN)
        elif key == f"attachments/{volume}" and kind == "PUT" and self._node.encode() not in value:
            self._note("attached elsewhere")
        elif key.startswith("status/") and key.endswith(f"/{volume}") and f"/{self._node}/" not in key and kind == "PUT":
            status = json.loads(value)
            if status.get("connection") not in ("Connected", "", None):
                self._note("the other copy has lost its connection")
            if status.get("mounts"):
                self._note(MOUNTED)

    def _note_object(self, event: Any) -> None:
        kind, found = event["type"], event["object"]
        metadata = found["metadata"]
        if found["kind"] == "Node" and metadata["name"] == self._node:
            if LABEL + self._writer.volume not in metadata["labels"]:
                self._note("label removed")
            if any(one["type"] == "Ready" and one["status"] != "True" for one in found["status"]["conditions"]):
                self._note("(Kubernetes' own word: the node is not ready)")
        if found["kind"] != "Pod" or metadata["name"] != self._writer.pod:
            return
        if metadata["uid"] == self._writer.first_uid:
            if kind == "DELETED":
                self._note("pod deleted")
            return
        self._note("pod created")
        if found["spec"].get("nodeName"):
            self._note(SCHEDULED)
        if found["status"]["phase"] == "Running":
            self._note("pod running, as the API server knows")

    def note_survivor(self, node: Node) -> None:
        """What only the machine itself knows: when containerd began with the pod, and the first line written."""
        before = time.monotonic()
        uptime, wall = node.sh("cut -d' ' -f1 /proc/uptime; date +%s.%N").stdout.split()
        now = (before + time.monotonic()) / 2
        found = node.sh(f"cd {BUNDLES}; grep -l {self._writer.uid()} */config.json | xargs stat -c %.Y").stdout.split()
        for what, made in zip((SANDBOX, CONTAINER), sorted(map(float, found))):
            self._seen[what] = now - (float(wall) - made)
        first = next(up for _, where, up in self._writer.lines(node.name) if where == node.name)
        self._seen[WRITTEN] = now - (float(uptime) - first)

    def report(self) -> str:
        """Seconds since the power went, and since the line above."""
        lines, last = [], self._begin
        for what, moment in sorted(self._seen.items(), key=lambda one: one[1]):
            lines.append(f"{moment - self._begin:7.1f} s  +{moment - last:5.1f}  {what}")
            last = moment
        return "\n".join([*lines, *(f"{seconds:7.1f} s  {what}" for what, seconds in self.parts().items())])

    def parts(self) -> dict[str, float]:
        """Of which lengths the whole is made, in seconds."""
        ends = (LEASE_GONE, TAKEN, SCHEDULED, WRITTEN)
        parts = {f"from the power-off: {end}": self._seen[end] - self._begin for end in ends if end in self._seen}
        for begin, end in zip(STEPS, STEPS[1:]):
            if begin in self._seen and end in self._seen:
                parts[f"{begin}: {end}"] = self._seen[end] - self._seen[begin]
        return parts


def medians(all_parts: list[dict[str, float]]) -> dict[str, float]:
    """Of each part, over all times that a node died."""
    names = dict.fromkeys(name for parts in all_parts for name in parts)
    return {name: statistics.median(parts[name] for parts in all_parts if name in parts) for name in names}
