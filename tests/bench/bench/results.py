"""Each part's last figures: in RESULTS.md, beside what people wrote of them, and in build/bench.json for programs.

A run writes anew what is there of the parts it ran, and leaves everything else as it is.
"""

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from .report import Line, table

OPENING = """# Results of `make bench`

What stands between two marks of a part is written by `tests/bench/run --write`, all else by hand.
`make bench` measures all parts but `many-in-lab`, which takes nine minutes more: `tests/bench/run --write many-in-lab`.

"""
BEHIND = "## What stands behind the figures"


def conditions() -> str:
    """What else the machine had to do shows in the figures."""
    load = os.getloadavg()[0]
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} processors, load {load:.1f} at the start"


def write_results(measured: Mapping[str, tuple[str, Sequence[Line]]], path: Path) -> None:
    """By part: under which conditions, and what was found."""
    text = path.read_text() if path.exists() else f"{OPENING}{BEHIND}\n\nNone yet.\n"
    for part, (told, lines) in measured.items():
        block = f"<!-- {part} -->\n## {part}\n\n{told}\n\n{table(lines)}\n<!-- end of {part} -->"
        former = re.compile(rf"<!-- {part} -->.*<!-- end of {part} -->", re.DOTALL)
        if former.search(text):
            text = former.sub(lambda _, block=block: block, text)
        else:
            before, behind, after = text.partition(BEHIND)
            text = f"{before}{block}\n\n{behind}{after}"
    path.write_text(text)


def write_json(measured: Mapping[str, tuple[str, Sequence[Line]]], path: Path) -> None:
    """By part, as write_results() takes it; each has when it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = read_json(path)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for part, (told, lines) in measured.items():
        found = [{**asdict(line), "goal": line.goal, "verdict": line.verdict} for line in lines]
        kept[part] = {"measured": now, "conditions": told, "lines": found}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def read_json(path: Path) -> dict[str, object]:
    """Nothing, when no bench or one of another version wrote it."""
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return kept if isinstance(kept, dict) else {}
