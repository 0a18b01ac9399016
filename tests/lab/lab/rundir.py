"""The state directory of a running lab: claimed by one supervisor, swept away when its supervisor is gone."""

import fcntl
import os
import shutil
from pathlib import Path

from .errors import LabError
from .paths import BUILD, run_dir

CONTROL_SOCKET = "control"
LOG = "supervisor.log"
# A directory that was left on purpose (--keep) is removed only by the next lab of its name.
KEPT = "kept"


def claim(path: Path) -> int:
    """Makes the directory and locks it; the lock lasts as long as the returned descriptor is open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path.mkdir(exist_ok=True)
        try:
            descriptor = _lock(path)
        except FileNotFoundError:
            continue
        if descriptor is None:
            raise LabError(f"a lab runs already in {path}")
        if not os.path.exists(path) or not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            os.close(descriptor)  # somebody swept it between our two steps
            continue
        for leftover in path.iterdir():
            leftover.unlink()
        return descriptor


def running() -> list[Path]:
    """The state directories of labs that can be talked to."""
    return sorted(path for path in BUILD.glob(run_dir("*").name) if (path / CONTROL_SOCKET).exists())


def sweep() -> None:
    """Removes what labs left whose supervisor was killed."""
    for path in BUILD.glob(run_dir("*").name):
        if (path / KEPT).exists():
            continue
        try:
            descriptor = _lock(path)
        except FileNotFoundError:
            continue
        if descriptor is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
