"""A genuine containerd on a machine, without a kubelet: it knows the sandboxes that a test makes, and no others."""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

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


def write_pause_image(target: Path) -> None:
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
    target.write_bytes(pack(files, mode=0o644))


def pack(files: dict[str, bytes], mode: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
