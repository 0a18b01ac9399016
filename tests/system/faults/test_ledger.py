"""The judge itself: it must see each way in which a promise can be broken, and nothing where none was."""

import subprocess
import sys
from pathlib import Path

import blocks
import pytest
from suite import GUEST
from suite.faults import FAULTS, choose
from suite.ledger import Ledger, Place, Stamp
from suite.sequence import draw

PLACE: Place = ("direct", 3)
VOLUME = "pv-1"
SLOTS = 4


def scan(ledger: Ledger, generation: int, found: Stamp | None, node: str = "n2") -> None:
    seen = ledger.begin_scan(generation, node)
    seen.found[PLACE] = found
    seen.complete = True


def test_the_newest_acknowledged_block_is_right() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 5), "n1")
    ledger.acknowledge(PLACE, (1, 9), "n1")
    scan(ledger, 2, (1, 9))
    assert ledger.violations() == []


def test_a_later_block_that_nobody_was_told_of_is_right() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 5), "n1")
    scan(ledger, 2, (1, 7))
    scan(ledger, 3, (1, 7))
    assert ledger.violations() == []


def test_an_older_block_is_a_loss() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 5), "n1")
    ledger.acknowledge(PLACE, (1, 9), "n1")
    scan(ledger, 2, (1, 5))
    assert "block 9 of writer 1 had been acknowledged on n1" in ledger.violations()[0]


def test_a_loss_that_a_later_write_covers_is_still_seen() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 9), "n1")
    scan(ledger, 2, (1, 5))
    ledger.acknowledge(PLACE, (2, 1), "n2")
    scan(ledger, 3, (2, 1))
    assert len(ledger.violations()) == 1


def test_a_loser_that_acknowledges_after_its_successor_began_lies() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 5), "n1")
    scan(ledger, 2, (1, 5))
    assert ledger.violations() == []
    ledger.acknowledge(PLACE, (1, 6), "n1")
    assert "after this writer began" in ledger.violations()[0]


def test_a_losers_block_that_comes_back_is_seen() -> None:
    ledger = Ledger()
    scan(ledger, 2, (1, 5))
    scan(ledger, 3, (1, 6))
    assert "has come back" in ledger.violations()[0]


def test_garbage_is_seen() -> None:
    ledger = Ledger()
    scan(ledger, 1, None)
    assert "garbage" in ledger.violations()[0]


def test_files_that_had_to_be_made_twice_are_a_loss() -> None:
    ledger = Ledger()
    ledger.made(1, "n1")
    assert ledger.violations() == []
    ledger.made(2, "n2")
    assert "found no files" in ledger.violations()[0]


def test_a_scan_that_did_not_end_says_nothing() -> None:
    ledger = Ledger()
    ledger.acknowledge(PLACE, (1, 9), "n1")
    ledger.begin_scan(2, "n2").found[PLACE] = (1, 5)
    assert ledger.violations() == []


def test_a_seed_always_draws_the_same_sequence() -> None:
    assert draw(7) == draw(7)
    assert any(draw(7) != draw(seed) for seed in range(8, 12))
    assert all(2 <= sum(step.fault is not None for step in draw(seed)) <= 5 for seed in range(100))
    assert {step.fault.name for seed in range(300) for step in draw(seed) if step.fault} == {f.name for f in FAULTS}


def test_an_unknown_fault_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no such fault: nonsense; there are power-off"):
        choose(["move", "nonsense"])
    assert [fault.name for fault in choose(["move"])] == ["move"]


def run_writer(folder: Path, generation: int, count: int) -> list[list[str]]:
    command = [sys.executable, "-I", "-S", str(GUEST / "writer.py"), VOLUME, str(generation), str(SLOTS), str(count)]
    result = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True, timeout=60)
    return [line.split() for line in result.stdout.splitlines()]


@pytest.fixture
def folder() -> Path:
    """On a real file system: not all that are used for /tmp can O_DIRECT."""
    made = Path(__file__).resolve().parents[3] / "build" / "reports" / "writer"
    made.mkdir(parents=True, exist_ok=True)
    for old in made.iterdir():
        old.unlink()
    return made


def test_the_writer_finds_what_it_wrote(folder: Path) -> None:
    first = run_writer(folder, 1, 11)
    assert ["made"] in first
    acknowledged = {(mode, int(offset) // blocks.SIZE): sequence for _, sequence, mode, offset, _ in first[-11:]}
    second = run_writer(folder, 2, 0)
    assert ["made"] not in second
    found = {(words[1], int(words[2])): words[3:] for words in second if words[0] == "found"}
    assert len(found) == 2 * SLOTS
    for place, sequence in acknowledged.items():
        assert found[place] == ["1", sequence]


@pytest.mark.parametrize("byte", [0, 80, 2000, blocks.SIZE - 1])
def test_a_single_wrong_byte_is_garbage(folder: Path, byte: int) -> None:
    run_writer(folder, 1, 10)
    with open(folder / "ring.synced", "r+b") as ring:
        ring.seek(2 * blocks.SIZE + byte)
        old = ring.read(1)
        ring.seek(2 * blocks.SIZE + byte)
        ring.write(bytes([old[0] ^ 1]))
    found = [words for words in run_writer(folder, 2, 0) if words[0] == "found" and "garbage" in words]
    assert found == [["found", "synced", "2", "garbage"]]


def test_a_block_at_the_wrong_place_or_of_another_volume_is_garbage() -> None:
    block = blocks.encode(VOLUME, "direct", 3, 1, 7)
    assert blocks.decode(VOLUME, "direct", 3, block) == (1, 7)
    assert blocks.decode(VOLUME, "direct", 2, block) is None
    assert blocks.decode(VOLUME, "synced", 3, block) is None
    assert blocks.decode("pv-2", "direct", 3, block) is None
    assert blocks.decode(VOLUME, "direct", 3, bytes(blocks.SIZE)) is None
    assert blocks.decode(VOLUME, "direct", 3, b"") is None
