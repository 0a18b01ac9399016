"""Calls of a genuine Kubernetes 1.12 kubelet and controller-manager, in the order in which they were made."""

import json
from dataclasses import dataclass
from pathlib import Path

RECORDINGS = Path(__file__).resolve().parents[2] / "data" / "kubelet-calls"


@dataclass(frozen=True)
class Call:
    argv: tuple[str, ...]  # without the driver itself
    begin: float  # seconds since the recording's begin
    end: float

    @property
    def verb(self) -> str:
        return self.argv[0]


@dataclass(frozen=True)
class Recording:
    path: Path
    calls: tuple[Call, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def attaches(self) -> bool:
        return any(call.verb == "attach" for call in self.calls)

    @property
    def overlaps(self) -> bool:
        """Whether calls were made while others were under way. Calls so short that nobody could tell do not count."""
        latest = 0.0
        for call in self.calls:
            if call.begin < latest - 1:
                return True
            latest = max(latest, call.end)
        return False

    def before(self, index: int) -> list[int]:
        """The calls that had ended when this one began."""
        return [i for i, call in enumerate(self.calls[:index]) if call.end <= self.calls[index].begin]


def load(path: Path) -> Recording:
    """The first line tells what the recording is about."""
    calls = []
    for line in path.read_text().splitlines()[1:]:
        record = json.loads(line)
        calls.append(Call(tuple(record["argv"][1:]), record["at"], record["at"] + (record["dur"] or 0)))
    return Recording(path, tuple(calls))


def load_all() -> list[Recording]:
    return [load(path) for path in sorted(RECORDINGS.glob("*.jsonl"))]
