"""RESULTS.md: each part's last figures, and what people wrote beside them.

A run writes the tables of the parts it ran anew, and leaves everything else in the file as it is.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .report import Line, table

OPENING = """# Results of `make bench`

What stands between two marks of a part is written by `tests/bench/run --write`, all else by hand.

"""
REASONS = "## Why a goal is missed"


def conditions() -> str:
    """What else the machine had to do shows in the figures."""
    load = os.getloadavg()[0]
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} processors, load {load:.1f} at the start"


def write_results(measured: Mapping[str, tuple[str, Sequence[Line]]], path: Path) -> None:
    """By part: under which conditions, and what was found."""
    text = path.read_text() if path.exists() else f"{OPENING}{REASONS}\n\nNone yet.\n"
    for part, (told, lines) in measured.items():
        block = f"<!-- {part} -->\n## {part}\n\n{told}\n\n{table(lines)}\n<!-- end of {part} -->"
        former = re.compile(rf"<!-- {part} -->.*<!-- end of {part} -->", re.DOTALL)
        if former.search(text):
            text = former.sub(lambda _, block=block: block, text)
        else:
            before, reasons, after = text.partition(REASONS)
            text = f"{before}{block}\n\n{reasons}{after}"
    path.write_text(text)
