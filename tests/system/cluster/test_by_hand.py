"""examples/by-hand.md is a session that happened: it is typed again, and must be answered as it says there.

Each line after a prompt is typed: `n1#` in a shell on that node, `lab#` on the machine that the lab runs on. What is
answered must be what follows, but for times and sizes; what only asks is asked again until it is, since agents report a
moment after they have acted. `PLEXVOL_WRITE_SESSION=1` writes the file anew.
"""

import contextlib
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import Cluster
from lab import LabError, wait_until

ROOT = Path(__file__).resolve().parents[3]
SESSION = ROOT / "examples" / "by-hand.md"
PLEXLAB = "tests/lab/plexlab "
# What no two sessions have in common; the columns of a table are as wide as their words.
VOLATILE = [(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "TIME"), (r"\b\d+(\.\d+)? ?(s|min|h)\b", "TIME"),
            (r"\b\d+(\.\d+)?([KMGT]i\b|%)", "SIZE"), (r"[ \t]+", " "), (r"(?<=SIZE)( was)? 0 ", r"\1 SIZE "), (r" $", ""),
            (r"\d+\.\d+\.\d+-\d+-amd64", "KERNEL"), (r"process \d+", "process PID"), (r"^(Epoch|DRBD minor): \d+", r"\1: N"),
            (r"; its last error: .*", ""), (r"\d+ won, .*", "COUNTS")]


QUESTIONS = re.compile(r"plexvol (node list|volume list|volume show|doctor)\b")


@dataclass
class Step:
    prompt: str
    typed: str
    answer: list[str]

    def text(self) -> list[str]:
        return [f"{self.prompt}# {self.typed}", *self.answer]


def parse(text: str) -> list[str | Step]:
    """Lines of prose as they are, and the steps between them."""
    parts: list[str | Step] = []
    inside = False
    for line in text.splitlines():
        typed = re.match(r"(n\d|lab)# (.*)$", line)
        if line.startswith("```"):
            inside = line == "```console"
            parts.append(line)
        elif inside and typed:
            parts.append(Step(typed[1], typed[2], []))
        elif inside and isinstance(parts[-1], Step):
            parts[-1].answer.append(line)
        else:
            parts.append(line)
    return parts


def answer(cluster: Cluster, step: Step) -> list[str]:
    if step.prompt == "lab":
        assert step.typed.startswith(PLEXLAB), step.typed
        command = [ROOT / PLEXLAB.strip(), "--dir", cluster.lab.directory, *shlex.split(step.typed[len(PLEXLAB):])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return (done.stdout + done.stderr).splitlines()
    # As a terminal shows it: both streams, in their order.
    result = cluster.node(step.prompt).run(["sh", "-c", f"exec 2>&1; cd; {step.typed}"], timeout=300)
    return result.stdout.decode().splitlines()


def steady(lines: list[str]) -> list[str]:
    for pattern, word in VOLATILE:
        lines = [re.sub(pattern, word, line) for line in lines]
    return lines


def have_again(cluster: Cluster, step: Step) -> None:
    wanted = steady(step.answer)
    seen: list[str] = []

    def is_the_same() -> bool:
        seen[:] = steady(answer(cluster, step))
        return seen == wanted or not QUESTIONS.match(step.typed)

    with contextlib.suppress(LabError):  # the difference tells more
        wait_until(is_the_same, 60, step.typed)
    assert seen == wanted, step.typed


def write_anew(cluster: Cluster, parts: list[str | Step]) -> None:
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Step):
            part.answer = answer(cluster, part)
        lines += part.text() if isinstance(part, Step) else [part]
    SESSION.write_text("\n".join(lines) + "\n")


@pytest.mark.long
def test_the_session_can_be_had_again(cluster: Cluster) -> None:
    parts = parse(SESSION.read_text())
    if os.environ.get("PLEXVOL_WRITE_SESSION"):
        return write_anew(cluster, parts)
    for step in parts:
        if isinstance(step, Step):
            have_again(cluster, step)
