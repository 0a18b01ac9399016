"""tests/run itself: what runs the tests ends when it is told to."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import wait_until

RUN = Path(__file__).resolve().parents[3] / "tests" / "run"
LOAD = f"""
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = SourceFileLoader("run", "{RUN}")
run = module_from_spec(spec_from_loader("run", loader))
sys.modules["run"] = run
loader.exec_module(run)
"""
# One part, which does not end by itself, and perhaps a second one of its lane, which must not begin.
SCRIPT = f"""{LOAD}
run.GRACE_SECONDS = 1
part = lambda name, script: run.Part(name, name, ["sh", "-c", script, "sh", sys.argv[2]], 10000, None)
run.PARTS = [part("slow", sys.argv[3]), part("next", "touch $1/next")][:int(sys.argv[1])]
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
@pytest.mark.parametrize("parts", ["1", "2"])
@pytest.mark.parametrize("script", [WORKS, STUBBORN, LEAVES_A_CHILD])
@pytest.mark.usefixtures("lives")
def test_it_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals, parts: str, script: str) -> None:
    """Long before the limit of the part that runs, and that part with it."""
    command = [sys.executable, "-c", SCRIPT, parts, str(tmp_path), script]
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


# The left one waits for what the right one does; the last one, which must not begin before the left one has ended, would
# have time to.
LANES = f"""{LOAD}
def part(name, script, lane, after=()):
    command = ["timeout", "60", "sh", "-c", script, "sh", sys.argv[1]]
    return run.Part(name, name, command, 100, lambda *_: run.Counts(1), lane=lane, after=after)
run.PARTS = [part("left", "until [ -e $1/right ]; do sleep 0.05; done; sleep 1; touch $1/left", 1),
             part("right", "touch $1/right", 2),
             part("last", "[ -e $1/left ]", 2, after=("left", "one that was not chosen"))]
sys.exit(run.main([]))
"""


def test_lanes_run_beside_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LANES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed", done.stdout


BUILDING = f"""{LOAD}
first = run.build("first", "", ["sh", "-c", sys.argv[2], "sh", sys.argv[1]], 100, 1)
needs = run.Part("needs", "", ["test", "-e", f"{{sys.argv[1]}}/built"], 100, lambda *_: run.Counts(1), lane=2, after=("first",))
run.PARTS = [needs, first]
sys.exit(run.main(sys.argv[3:]))
"""


def test_what_a_part_needs_is_built_before_it(tmp_path: Path) -> None:
    def play(script: str, *words: str) -> list[str]:
        command = [sys.executable, "-c", BUILDING, str(tmp_path), script, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()

    assert play("touch $1/built")[-1] == "1 passed, 1 failed"
    assert play("exit 3", "--build")[-1] == "1 passed, 2 failed"
    said = play("sleep 1; touch $1/built", "--build")
    assert said[-1] == "1 passed, 0 failed"
    assert any(line.startswith("=== first: built in ") for line in said)
    said = play("exit 3", "--build")  # what an earlier build left is there
    assert said[-1] == "1 passed, 1 failed"
    assert "FAILED first: ended with status 3" in said


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
    script = LOAD + (
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


def test_parts_of_one_session_share_what_it_made(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / f"test_{name}.py").write_text(f"def test_{name}(shared):\n    pass\n")
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='session')\ndef shared():\n    print('made')\n"
    )
    script = LOAD + (
        f"run.REPORTS = run.Path('{tmp_path}')\n"
        "part = lambda name: run.pytest(name, name, ['-s', '-c', '/dev/null', "
        f"'{tmp_path}/test_' + name + '.py'], 60, session='both')\n"
        "run.PARTS = [part('first'), part('second')]\n"
        "sys.exit(run.main(sys.argv[1:]))\n"
    )
    for words, passed, name in (([], 2, "first+second"), (["second"], 1, "second")):
        command = [sys.executable, "-c", script, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines()[-1] == f"{passed} passed, 0 failed", done.stdout
        assert f"=== {name}: {passed} passed" in done.stdout
        assert done.stdout.count("made\n") == 1


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
