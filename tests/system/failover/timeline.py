"""When the parts of a failover happened, as seen from outside of all machines."""

import base64
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from kube.in_lab import KUBELET
from lab import Node
from world import LABEL, World, Writer


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
        readers = [self._read_objects, self._read_objects, self._read_store]
        for read, process in zip(readers, self._processes):
            threading.Thread(target=read, args=[process], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def begin(self) -> None:
        """Just before the power goes."""
        self._begin = time.monotonic()

    def _note(self, what: str) -> None:
        self._seen.setdefault(what, time.monotonic())

    def _read_store(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            for event in json.loads(line).get("result", {}).get("events", []):
                key = base64.b64decode(event["kv"]["key"]).decode().removeprefix("/plexvol/")
                self._note_key(key, event.get("type", "PUT"), base64.b64decode(event["kv"].get("value", "")))

    def _note_key(self, key: str, kind: str, value: bytes) -> None:
        volume = self._writer.volume
        if self._begin == 0.0:
            return
        if key == f"alive/{self._node}" and kind == "DELETE":
            self._note("lease gone")
        elif key == f"current/{volume}":
            self._note("taken over (the set has changed)")
        elif key == f"attachments/{volume}" and kind == "PUT" and self._node.encode() not in value:
            self._note("attached elsewhere")
        elif key.startswith("status/") and volume in key and self._node not in key and b'"Connected"' not in value:
            self._note("the other copy has lost its connection")

    def _read_objects(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for event in _parse_stream(process.stdout):
            if self._begin > 0.0:
                self._note_object(event["type"], event["object"])

    def _note_object(self, kind: str, found: Any) -> None:
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
            self._note("pod scheduled")
        if found["status"]["phase"] == "Running":
            self._note("pod running, as the API server knows")

    def note_survivor(self, node: Node) -> None:
        """What only the machine itself knows: when the volume was mounted, and the first line written."""
        before = time.monotonic()
        uptime, wall = node.sh("cut -d' ' -f1 /proc/uptime; date +%s.%N").stdout.split()
        now = (before + time.monotonic()) / 2
        log = node.read_file(node.service_log_path(KUBELET)).decode(errors="replace")
        mounted = re.findall(rf"^I\d{{4}} (\S+) .*MountVolume.SetUp succeeded.*{self._writer.volume}", log, re.MULTILINE)
        if mounted:
            day = time.strftime("%Y-%m-%d ", time.gmtime(float(wall)))
            moment, _, fraction = mounted[-1].partition(".")
            stamp = time.mktime(time.strptime(day + moment, "%Y-%m-%d %H:%M:%S")) - time.timezone + float("0." + fraction)
            self._seen["mounted"] = now - (float(wall) - stamp)
        first = next(up for _, where, up in self._writer.lines(node.name) if where == node.name)
        self._seen["first write"] = now - (float(uptime) - first)

    def report(self) -> str:
        """Seconds since the power went, and since the line above."""
        lines, last = [], self._begin
        for what, moment in sorted(self._seen.items(), key=lambda one: one[1]):
            lines.append(f"{moment - self._begin:7.1f} s  +{moment - last:5.1f}  {what}")
            last = moment
        return "\n".join(lines)


def _parse_stream(stream: Any) -> Iterator[Any]:
    """JSON objects, each over many lines."""
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text += line
        if line != "}\n":
            continue
        event, _ = decoder.raw_decode(text)
        text = ""
        yield event
