"""Figures as ratios within one run, what they should be, and whether they are."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Line:
    """One figure: `what`, over what; its goal is told by `most` or `least`."""

    what: str
    figure: float
    unit: str  # "times", "MB", "ms", ...
    most: float | None = None
    least: float | None = None
    detail: str = ""  # medians and spread of what was measured
    samples: dict[str, list[float]] = field(default_factory=dict)

    @property
    def goal(self) -> str:
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"at least {self.least:g}" if self.least is not None else "none"

    @property
    def verdict(self) -> str:
        missed = (self.most is not None and self.figure > self.most) or (
            self.least is not None and self.figure < self.least
        )
        return "missed" if missed else "met" if self.goal != "none" else "-"


def spread(samples: Sequence[float]) -> str:
    """ "537 us (490 to 612)": the median, and the middle eight tenths."""
    ordered = sorted(samples)
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    return f"{words(statistics.median(ordered))} ({words(low)} to {words(high)})"


def words(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def ratio(
    what: str, ours: Sequence[float], others: Sequence[float], *, most: float | None = None, least: float | None = None
) -> Line:
    """Ours over theirs; with `least` it is how many times ours is faster."""
    figure = statistics.median(ours) / statistics.median(others)
    if least is not None:
        figure = 1 / figure
    return Line(
        what, figure, "times", most, least, f"{spread(ours)} over {spread(others)}",
        {"ours": list(ours), "others": list(others)},
    )  # fmt: skip


def alternately(rounds: int, *measure: Callable[[], list[float]]) -> list[list[float]]:
    """In turns, so that what the machine does meanwhile meets all alike."""
    samples: list[list[float]] = [[] for _ in measure]
    for _ in range(rounds):
        for one, found in zip(measure, samples, strict=True):
            found += one()
    return samples


def table(lines: Sequence[Line]) -> str:
    rows = ["| What | Figure | Goal | Verdict | Measured |", "|---|---|---|---|---|"]
    for line in lines:
        rows.append(f"| {line.what} | {line.figure:.3g} {line.unit} | {line.goal} | {line.verdict} | {line.detail} |")
    return "\n".join(rows)
