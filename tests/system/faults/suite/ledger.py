"""What was acknowledged, what was found, and whether the two agree."""

import threading
import time
from dataclasses import dataclass, field

# (mode, slot): one block's place in one of the two rings.
Place = tuple[str, int]
# (generation, sequence) of a block. Generations are numbered in the order in which the writers were started, each
# after its mount had succeeded; so the order of these pairs is the order in which blocks may replace each other.
Stamp = tuple[int, int]

_SHOWN = 12


@dataclass(frozen=True)
class Acknowledgement:
    stamp: Stamp
    node: str
    at: float


@dataclass
class Scan:
    """What a writer found in all places after its mount had succeeded, before its first own block."""

    generation: int
    node: str
    began: float
    found: dict[Place, Stamp | None] = field(default_factory=dict)  # None: garbage
    complete: bool = False


class Ledger:
    """Filled by the writers' threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: dict[Place, list[Acknowledgement]] = {}
        self._scans: list[Scan] = []
        self._made_by: int | None = None  # the first writer that told of having made the rings
        self._made_again: list[str] = []
        self._counts: dict[int, int] = {}

    def made(self, generation: int, node: str) -> None:
        with self._lock:
            if self._made_by is None:
                self._made_by = generation
            else:
                self._made_again.append(
                    f"writer {generation} on {node} found no files, although writer {self._made_by} had made them"
                )

    def begin_scan(self, generation: int, node: str) -> Scan:
        with self._lock:
            scan = Scan(generation, node, time.monotonic())
            self._scans.append(scan)
            return scan

    def acknowledge(self, place: Place, stamp: Stamp, node: str) -> None:
        with self._lock:
            self._acknowledged.setdefault(place, []).append(Acknowledgement(stamp, node, time.monotonic()))
            self._counts[stamp[0]] = self._counts.get(stamp[0], 0) + 1

    def count(self, generation: int | None = None) -> int:
        with self._lock:
            return sum(self._counts.values()) if generation is None else self._counts.get(generation, 0)

    def violations(self) -> list[str]:
        """Everything that contradicts the promise; [] when it was kept.

        Each scan is checked against all acknowledgements of the writers before it, whenever they arrived: one that a
        cut-off loser gives after its successor has begun must be in what the successor found, or is a lie.
        """
        with self._lock:
            found = list(self._made_again)
            before: Scan | None = None
            for scan in sorted((scan for scan in self._scans if scan.complete), key=lambda scan: scan.generation):
                for place, stamp in sorted(scan.found.items()):
                    found += self._check(scan, place, stamp, before)
                before = scan
            return found

    def _check(self, scan: Scan, place: Place, stamp: Stamp | None, before: Scan | None) -> list[str]:
        where = f"{place[0]} block {place[1]} as writer {scan.generation} found it on {scan.node}"
        if stamp is None:
            return [f"{where}: garbage"]
        problems = []
        if stamp[0] >= scan.generation:
            problems.append(f"{where}: {_text(stamp)} cannot have been written yet")
        earlier = [ack for ack in self._acknowledged.get(place, []) if ack.stamp[0] < scan.generation]
        newest = max(earlier, key=lambda ack: ack.stamp, default=None)
        if newest is not None and newest.stamp > stamp:
            late = newest.at - scan.began
            when = f"{late:.1f} s after" if late > 0 else f"{-late:.1f} s before"
            problems.append(
                f"{where}: {_text(stamp)}, but {_text(newest.stamp)} had been acknowledged on {newest.node},"
                f" {when} this writer began"
            )
        # What nobody was told of may be there or not, but it must not come back once it was seen to be gone.
        if before is not None and before.found.get(place) != stamp and stamp[0] < before.generation:
            problems.append(
                f"{where}: {_text(stamp)} has come back: writer {before.generation} on {before.node} found"
                f" {_text(before.found.get(place))}"
            )
        return problems

    def summary(self) -> str:
        with self._lock:
            lines = []
            last = {ack.stamp[0]: ack for acks in self._acknowledged.values() for ack in acks}
            for acks in self._acknowledged.values():
                for ack in acks:
                    if ack.stamp > last[ack.stamp[0]].stamp:
                        last[ack.stamp[0]] = ack
            for scan in self._scans:
                latest = last.get(scan.generation)
                what = f"last {latest.stamp[1]} at {latest.at:.1f}" if latest else "none"
                lines.append(
                    f"writer {scan.generation} on {scan.node}: began to read at {scan.began:.1f},"
                    f" found {len(scan.found)} blocks{'' if scan.complete else ' (not all)'},"
                    f" acknowledged {self._counts.get(scan.generation, 0)}, {what}"
                )
            return "\n".join(lines) or "no writer ever began"


def shorten(violations: list[str]) -> str:
    more = len(violations) - _SHOWN
    return "\n".join(violations[:_SHOWN] + ([f"... and {more} more"] if more > 0 else []))


def _text(stamp: Stamp | None) -> str:
    return "garbage" if stamp is None else f"block {stamp[1]} of writer {stamp[0]}"
