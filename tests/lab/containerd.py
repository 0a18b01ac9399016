"""A genuine containerd on a machine, without a kubelet: it knows the sandboxes that a test makes, and no others.

Where it runs idle, a pod that only a mount's path names is proved dead as soon as it has no process.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from lab import Node

BUSYBOX = Path("/bin/busybox")  # static
PAUSE_IMAGE = "docker.io/library/pause:1"
SANDBOX = Path(__file__).resolve().parent / "guest" / "sandbox.py"

# What costs time at its start or needs programs that are not there. CRI needs all the rest.
UNNEEDED = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
    "io.containerd.internal.v1.opt",
]


def containerd_config(root: str, state: str, socket: str) -> str:
    """Its configuration file. Without what a sandbox around the tests may lack: CAP_SYS_RESOURCE, a hugetlb cgroup."""
    return f"""version = 2
root = "{root}"
state = "{state}"
disabled_plugins = {json.dumps(UNNEEDED)}
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
disable_hugetlb_controller = true
disable_apparmor = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"""


SOCKET = "/run/containerd/containerd.sock"
CGROUPS = "/sys/fs/cgroup"
_SERVICE = "containerd"
_CONFIG = "/persist/containerd.toml"
_ASK = ["python3", "-B", str(SANDBOX), SOCKET]


def start_containerd(node: Node) -> None:
    """On a machine of the lab, now and after every boot. Its records survive a power loss, as a node's do."""
    node.write_file(_CONFIG, containerd_config("/persist/containerd", "/run/containerd", SOCKET))
    mount = f"[ -e {CGROUPS}/cgroup.controllers ] || mount -t cgroup2 cgroup2 {CGROUPS}"
    node.start_service(_SERVICE, ["sh", "-c", f"{mount}; exec containerd --log-level warn --config {_CONFIG}"])


def import_pause_image(node: Node) -> None:
    """What every sandbox is made of. A machine keeps it."""
    node.write_file("/run/pause.tar", pause_image())
    node.check(["ctr", "--namespace", "k8s.io", "images", "import", "--snapshotter", "native", "/run/pause.tar"])


def run_sandbox(node: Node, uid: str, name: str = "db-0") -> str:
    """The id of a pod's sandbox in the namespace prod, none of whose processes is in the pod's cgroup: as between two
    restarts of its container with CRI-O, whose sandboxes have no process."""
    return node.check([*_ASK, "run", uid, name, "/elsewhere"]).stdout.decode().strip()


def remove_sandbox(node: Node, sandbox: str) -> None:
    node.check([*_ASK, "remove", sandbox])


@contextmanager
def ready_sandbox(node: Node, uid: str) -> Iterator[str]:
    import_pause_image(node)
    sandbox = run_sandbox(node, uid)
    try:
        yield sandbox
    finally:
        remove_sandbox(node, sandbox)


def pause_image() -> bytes:
    """A docker archive of a program that does nothing, for `ctr --namespace k8s.io images import`."""
    layer = pack({"busybox": BUSYBOX.read_bytes()}, mode=0o755)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/busybox", "sleep", "1000000"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, "config.json": config, "manifest.json": json.dumps(manifest).encode()}
    return pack(files, mode=0o644)


def pack(files: dict[str, bytes], mode: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
