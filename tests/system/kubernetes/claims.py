"""Claims, and all that there is of them in a cluster."""

from typing import Any

from kube.cluster import NODES
from kube.installation import Installation
from lab import wait_until
from workloads import COUNT, PATIENCE

LABEL = "volume.plexvol.io/"
RIGHT = {"copies": "1", "pool": "default"}


def storage_class(name: str, parameters: dict[str, str], **others: Any) -> dict[str, Any]:
    """One that makes volumes at once."""
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "plexvol.io/flexvolume", "parameters": parameters, **others}


def claim(name: str, class_name: str, size: str = "64Mi", **others: Any) -> dict[str, Any]:
    spec = {"storageClassName": class_name, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}}, **others}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def pod_of(claim_name: str, name: str, node: str = "") -> dict[str, Any]:
    """It has the claim's volume at /data, and writes a line there when it starts."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", COUNT],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}
    spec: dict[str, Any] = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 1}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Claims:
    """What there is of claims in all places: Kubernetes' objects, its nodes' labels, Plexvol's volumes, the pools."""

    def __init__(self, plexvol: Installation) -> None:
        self._plexvol = plexvol
        self._cluster = plexvol.cluster

    def find(self, name: str) -> Any:
        return self._cluster.get("pvc", name)

    def phase(self, name: str) -> str:
        return str(self.find(name)["status"]["phase"])

    def volume_name(self, name: str) -> str:
        """Of the claim's volume, also before it has one."""
        return f"pvc-{self.find(name)['metadata']['uid']}"

    def describe(self, name: str) -> str:
        """As a user sees it."""
        return self._cluster.kubectl("describe", "pvc", name)

    def wait_bound(self, *names: str) -> list[str]:
        """Their volumes."""
        for name in names:
            wait_until(lambda name=name: self.phase(name) == "Bound", PATIENCE, f"claim {name} is bound")
        volumes = [str(self.find(name)["spec"]["volumeName"]) for name in names]
        assert volumes == [self.volume_name(name) for name in names]
        return volumes

    def labelled(self, volume: str) -> list[str]:
        """The nodes that have the volume's label."""
        nodes = self._cluster.get("nodes")["items"]
        return [node["metadata"]["name"] for node in nodes if node["metadata"]["labels"].get(LABEL + volume) == "copy"]

    def copies(self, volume: str) -> list[str]:
        """The nodes that have a copy of the volume."""
        return [replica["node"] for replica in self._plexvol.volume(volume)["replicas"]]

    def traces(self, volume: str) -> list[str]:
        """Where something of it is left."""
        found = ["its PersistentVolume"] if self._cluster.get("pv", volume) is not None else []
        if volume in self._plexvol.list_volumes():
            found.append("the volume")
        labels = [name for node in self._cluster.get("nodes")["items"] for name in node["metadata"]["labels"]]
        if LABEL + volume in labels:
            found.append("a node's label")
        files = [f"{file} on {node}" for node in NODES for file in self._plexvol.list_left(node)]
        return found + [file for file in files if volume in file]

    def delete(self, *names: str) -> None:
        self._cluster.kubectl("delete", "pvc", "--wait=false", *names)

    def wait_gone(self, *volumes: str) -> None:
        for volume in volumes:
            wait_until(lambda volume=volume: self.traces(volume) == [], PATIENCE, f"nothing is left of {volume}")
