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


# Two tests, of which one fails; with the hook that holds.
TESTS = """
import pytest

@pytest.fixture
def made(tmp_path_factory):
    yield
    print("tidied up")

def test_alpha():
    pass

def test_beta(made):
    assert False
"""


@pytest.fixture
def chosen(tmp_path: Path) -> list[str]:
    """Python's words to run tests/run with one part, `few`, on two tests."""
    (tmp_path / "test_few.py").write_text(TESTS)
    folder = RUN.parent / "system"
    script = SCRIPT.split("lane = ")[0] + (
        f"run.REPORTS = run.Path('{tmp_path}')\n"
        f"run.PARTS = [run.pytest('few', 'a few', ['-c', '/dev/null', '--rootdir={tmp_path}', '-p', 'conftest', "
        f"'{tmp_path}'], 60, PYTHONPATH='{folder}'), run.model()]\n"
        "sys.exit(run.main(sys.argv[1:]))\n"
    )
    return [sys.executable, "-c", script]


def test_one_test_is_chosen_by_a_part_of_its_name(chosen: list[str]) -> None:
    done = subprocess.run([*chosen, "few", "-k", "alpha"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed"
    assert done.returncode == 0
    done = subprocess.run([*chosen, "few", "-k", "none_such"], capture_output=True, text=True, timeout=60, check=False)
    assert "FAILED no test was run" in done.stdout
    assert done.returncode == 1


def test_what_is_asked_for_must_exist(chosen: list[str]) -> None:
    for words, told in [
        (["fw"], "no such part: fw; there are few, model"),
        (["model", "-k", "x"], "the part model has no tests to choose from"),
        (["--keep"], "--keep goes with one part"),
        (["model", "--keep"], "--keep goes with one part"),
    ]:
        done = subprocess.run([*chosen, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert told in done.stderr


def test_a_failed_test_is_held_before_it_is_tidied_up(chosen: list[str]) -> None:
    with subprocess.Popen(
        [*chosen, "few", "--keep"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before: list[str] = []
        for line in process.stdout:
            before.append(line)
            if "until you press Enter" in line:
                break
        assert "tidied up\n" not in before
        process.stdin.write("\n")
        process.stdin.flush()
        after = process.stdout.read()
        assert "tidied up" in after
        assert process.wait(60) == 1
