"""The programs of the last release, compiled from git once for each checkout."""

import os
import shutil
import subprocess
from pathlib import Path

from lab.paths import CHECKOUT

RELEASED = "872394e"  # 0.1.0
TREE = CHECKOUT / "build" / f"released-{RELEASED}"


def find_released() -> Path | None:
    """Its build folder, if it has been compiled."""
    return TREE / "build" if (TREE / "build/plexvold").exists() else None


def build_released() -> Path | None:
    """Its build folder; None where this clone does not have the commit."""
    if find_released() is not None:
        return find_released()
    found = subprocess.run(["git", "-C", str(CHECKOUT), "cat-file", "-e", f"{RELEASED}^{{commit}}"], capture_output=True)
    if found.returncode != 0:
        return None
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(CHECKOUT), "archive", RELEASED], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(TREE)], input=archive.stdout, check=True)
    words = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-C", str(TREE), "OPTIMISE=-O0", "build"], env=words, check=True)
    return TREE / "build"
