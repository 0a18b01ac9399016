"""Notices that the programs of the checkout were built again while machines run.

The machines cache what they read of the host, for good: without that, starting a program would take seconds under
emulation. So before a command they are told to forget the checkout's files when a program in it has changed.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .paths import BUILD, CHECKOUT

# Thousands of files, and no program among them that a machine runs.
_WITHOUT_PROGRAMS = ("agent", "flexdriver", ".git", "build/fuzz", "build/obj", "build/asan/obj", "build/static", "build/tidy")
_NOT_LOOKED_AT = {BUILD, *(CHECKOUT / name for name in _WITHOUT_PROGRAMS)}

# Path, inode, size and time of change of every program.
Programs = frozenset[tuple[str, int, int, int]]


def programs() -> Programs:
    """The state of all executable files. A few milliseconds: it is asked before every command."""
    return frozenset(_walk(CHECKOUT))


def _walk(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    if folder in _NOT_LOOKED_AT:
        return
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return  # removed meanwhile
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_mode & stat.S_IXUSR:
                yield entry.path, status.st_ino, status.st_size, status.st_mtime_ns
