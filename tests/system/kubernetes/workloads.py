"""Pods with volumes, as users apply them."""

import json
from pathlib import Path
from typing import Any

import yaml
from kube.installation import Installation
from lab import wait_until

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PATIENCE = 180
# Appends a line each time it starts, and ends when it is told to.
COUNT = "echo started >> /data/starts; sync /data/starts; trap 'exit 0' TERM; sleep 1000000 & wait"


def pod(name: str, volume: str, *, node: str = "", command: str = COUNT, **options: str) -> dict[str, Any]:
    """With this volume, of 64 MiB unless `options` say otherwise, at /data."""
    flex = {"driver": "plexvol/plexvol", "fsType": "ext4", "options": {"size": "64Mi", **options}}
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", command],
                 "volumeMounts": [{"name": volume, "mountPath": "/data"}]}
    spec: dict[str, Any] = {"containers": [container], "volumes": [{"name": volume, "flexVolume": flex}],
                            "terminationGracePeriodSeconds": 1}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Workloads:
    def __init__(self, plexvol: Installation) -> None:
        self._plexvol = plexvol
        self._cluster = plexvol.cluster
        self._applied: list[str] = []

    def apply(self, *manifests: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self._applied.append(text)
        self._cluster.kubectl("apply", "-f", "-", stdin=text)

    def apply_example(self, name: str) -> list[dict[str, Any]]:
        """The file as it is; its manifests."""
        text = (EXAMPLES / name).read_text()
        self._applied.append(text)
        self._cluster.kubectl("apply", "-f", "-", stdin=text)
        return list(yaml.safe_load_all(text))

    def delete(self) -> None:
        for text in reversed(self._applied):
            options = ["--ignore-not-found", "--wait=false", "--grace-period=1"]
            self._cluster.kubectl("delete", *options, "-f", "-", stdin=text)

    def delete_pod(self, name: str, volume: str) -> None:
        """And waits until its volume is unmounted. Its object stays for a while, until its kubelet has tidied up."""
        found = self.get(name)
        machine = self._cluster.workers[found["spec"]["nodeName"]].machine
        where = f"/pods/{found['metadata']['uid']}/volumes/plexvol~plexvol/{volume}"
        assert [mount for mount in machine.mounts() if mount.endswith(where)]
        self._cluster.kubectl("delete", "pod", name, "--grace-period=1", "--wait=false")

        def is_unmounted() -> bool:
            return not [mount for mount in machine.mounts() if mount.endswith(where)]

        wait_until(is_unmounted, PATIENCE, f"the volume of {name} is unmounted")

    def wait_detached(self, volume: str) -> None:
        wait_until(lambda: self._plexvol.volume(volume)["attached_to"] == "", PATIENCE, f"{volume} is attached nowhere")

    def get(self, name: str) -> Any:
        return self._cluster.get("pod", name)

    def wait_running(self, *names: str) -> None:
        """With all of their containers ready."""
        for name in names:
            wait_until(lambda name=name: is_ready(self.get(name)), PATIENCE, f"pod {name} runs", interval=0.3)

    def run_pod(self, name: str, volume: str, **options: str) -> None:
        self.apply(pod(name, volume, **options))
        self.wait_running(name)

    def sh(self, name: str, script: str) -> str:
        """In the pod's container."""
        return self._cluster.kubectl("exec", name, "--", "sh", "-c", script)

    def events(self, name: str) -> str:
        found = self._cluster.get("events", f"--field-selector=involvedObject.name={name}")
        return "\n".join(event["message"] for event in found["items"])


def is_ready(pod: Any) -> bool:
    conditions = pod["status"].get("conditions", []) if pod else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: Any) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
