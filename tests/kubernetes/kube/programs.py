"""Where Kubernetes' own programs are kept: outside of the clone, so that a machine compiles each version once."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("PLEXVOL_CACHE") or Path.home() / ".cache" / "plexvol")
NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
# With a number of its own, which is raised when tests/kubernetes/compile makes something else of the same source.
_PREFIX = "kubernetes.2-"


def folder_of(version: str) -> Path:
    """For the programs of this version of Debian's source package. It appears when all of them are there."""
    return CACHE / f"{_PREFIX}{version}"


def find_programs() -> Path | None:
    """The folder that was compiled last; None before tests/kubernetes/compile has run."""
    found = [folder for folder in CACHE.glob(f"{_PREFIX}*") if folder.is_dir()]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)
