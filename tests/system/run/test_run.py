"""tests/run itself: what runs the tests ends when it is told to."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import wait_until

RUN = Path(__file__).resolve().parents[3] / "tests" / "run"
# One part, which does not end by itself, and a second one of its lane, which must not begin.
SCRIPT = f"""
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = SourceFileLoader("run", "{RUN}")
run = module_from_spec(spec_from_loader("run", loader))
sys.modules["run"] = run
loader.exec_module(run)
run.GRACE_SECONDS = 1
lane = eval(sys.argv[1])
part = lambda name, script: run.Part(name, name, ["sh", "-c", script, "sh", sys.argv[2]], 10000, None, {{}}, lane)
run.PARTS = [part("slow", sys.argv[3]), part("next", "touch $1/next")]
sys.exit(run.main([]))
"""
WORKS = "trap 'touch $1/tidied; exit 1' INT; touch $1/up; while :; do sleep 0.05; done"
STUBBORN = "trap '' INT TERM; touch $1/up; while :; do sleep 0.05; done"
# What it leaves behind has the pipe open that tests/run reads from; it ends with the test.
LEAVES_A_CHILD = "setsid sh -c 'while [ -d $0 ]; do sleep 0.05; done' $1/lives & touch $1/up; wait"


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lives"
    folder.mkdir()
    yield folder
    folder.rmdir()


@pytest.mark.finding("O16")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("lane", ["None", "1"])
@pytest.mark.parametrize("script", [WORKS, STUBBORN, LEAVES_A_CHILD])
@pytest.mark.usefixtures("lives")
def test_it_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals, lane: str, script: str) -> None:
    """Long before the limit of the part that runs, and that part with it."""
    command = [sys.executable, "-c", SCRIPT, lane, str(tmp_path), script]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (tmp_path / "up").exists(), 60, "the part runs")
        process.send_signal(number)
        try:
            assert process.wait(60) == 128 + number
        finally:
            process.kill()
    assert not (tmp_path / "next").exists()
    if script is WORKS:
        assert (tmp_path / "tidied").exists()
