"""What installer/render makes for a cluster."""

import copy
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
RENDER = ROOT / "installer" / "render"
IMAGE = "example/plexvol:1"
# Addresses of this machine alone, each of which can have the same ports.
MEMBERS = {"n1": "127.0.0.1", "n2": "127.0.0.2", "n3": "127.0.0.3"}
ETCD_NODES = ",".join(f"{name}={address}" for name, address in MEMBERS.items())

CASES = {
    "own etcd": ["--etcd-nodes", ETCD_NODES],
    "own etcd, IPv6": ["--etcd-nodes", "n1=fd00::1"],
    "an etcd that is there": ["--etcd", "http://10.0.0.1:2379,http://10.0.0.2:2379"],
    "attach": ["--etcd", "http://10.0.0.1:2379", "--attach", "--plugin-dir", "/etc/kubernetes/volumeplugins"],
    "embedded": ["--embedded", "--pool", "default=/var/lib/images", "--pool", "fast=vg0"],
    "pools": ["--etcd", "http://10.0.0.1:2379", "--pool", "kube_vg=kube_vg", "--pool", "thin=vg1/pool"],
    "runtime": ["--etcd", "http://10.0.0.1:2379", "--runtime-socket", "/run/containerd/containerd.sock"],
    "no controller": ["--etcd", "http://10.0.0.1:2379", "--no-controller"],
    "uninstall": ["--uninstall"],
}


def render(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([RENDER, "--image", IMAGE, *arguments], capture_output=True, text=True, timeout=60)


def manifests(*arguments: str) -> list[dict[str, Any]]:
    """Rendered once for all tests that ask for the same."""
    return copy.deepcopy(_rendered(*arguments))


@cache
def _rendered(*arguments: str) -> list[dict[str, Any]]:
    done = render(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def find(kind: str, name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    return next(one for one in found if one["kind"] == kind and one["metadata"]["name"] == name)


def container(workload: dict[str, Any], name: str) -> dict[str, Any]:
    pod = workload["spec"]["template"]["spec"]
    return next(one for one in [*pod.get("initContainers", []), *pod["containers"]] if one["name"] == name)
