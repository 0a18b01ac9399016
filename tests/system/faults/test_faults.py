"""The fault suite in its short form: a few sequences. The long form is ./soak."""

import itertools
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from suite.evidence import describe
from suite.sequence import Sequence, draw
from suite.workload import Subject
from suite.world import World

# One that is always the same, and begins with what a broken arbiter does not survive; with the tests that take long,
# one that is new each time. Only such as spend little time between the faults.
FIXED_FROM = 42
MOST_SECONDS = 12.0


def _seeds() -> list[Any]:
    asked = os.environ.get("PLEXVOL_FAULT_SEED")
    if asked:
        return [int(asked)]
    fixed = _find_short(FIXED_FROM, opening=["isolate", "move"])
    return [fixed, pytest.param(_find_short(secrets.randbelow(1 << 31)), marks=pytest.mark.long)]


def _find_short(seed: int, opening: list[str] | None = None) -> int:
    for candidate in itertools.count(seed):
        steps = draw(candidate)
        # A wait for a takeover takes what the takeover takes.
        spent = sum(step.gap.seconds for step in steps if not step.gap.until_written)
        begins = [step.fault.name for step in steps[:2] if step.fault]
        if spent < MOST_SECONDS and (opening is None or begins == opening):
            return candidate
    raise AssertionError("itertools.count ended")


@pytest.fixture(scope="module")
def subject(world: World) -> Iterator[Subject]:
    """One volume for all sequences; deleted unless one of them failed."""
    subject = Subject(f"fault-{os.getpid()}")
    yield subject
    if subject.sequences > 0 and not subject.failed:
        world.delete_volume(subject.volume)


@pytest.mark.parametrize("seed", _seeds())
def test_nothing_acknowledged_is_lost(world: World, subject: Subject, seed: int) -> None:
    steps = draw(seed)
    print(f"PLEXVOL_FAULT_SEED={seed}: {', '.join(map(str, steps))}")
    sequence = Sequence(world, subject, 1, seed, steps)
    outcome = sequence.play()
    if not outcome.passed:
        pytest.fail(describe(sequence), pytrace=False)
    print(outcome.line())
