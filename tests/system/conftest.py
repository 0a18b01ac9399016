"""Fixtures of the system tests: the emulated machines. See tests/lab/README.md."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lab import Lab, LabError, require_programs, rundir  # noqa: E402
from released import RELEASED, build_released  # noqa: E402

LONG = "PLEXVOL_LONG"
HOLD = "PLEXVOL_HOLD"  # set by `tests/run PART --keep`


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: left out unless PLEXVOL_LONG is set, as `make test-long` does")
    config.addinivalue_line("markers", "finding(*numbers): shows that these faults of 0.1.0 are fixed; see FINDINGS.md")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the lab together take longer than anybody waits for after each change."""
    for item in items:
        if item.get_closest_marker("long") and not os.environ.get(LONG):
            item.add_marker(pytest.mark.skip(reason="takes long: `make test-long` runs it"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A fixture that ends its test sees by `request.node.call_report` how that went."""
    report = (yield).get_result()
    if report.when == "call":
        item.call_report = report
    if report.failed and os.environ.get(HOLD):
        hold(item)


def hold(item: pytest.Item) -> None:
    """Before anything is tidied up: a person looks at the machines as the test left them."""
    print(f"\n{item.nodeid} failed. Nothing is tidied up until you press Enter.")
    for directory in rundir.running():
        print(f"The machines: tests/lab/plexlab --dir {directory} run n1 COMMAND")
    sys.stdout.flush()
    sys.stdin.readline()


@pytest.fixture(scope="session")
def lab3() -> Iterator[Lab]:
    """Three machines with vg0 and vg0/thin, shared by all tests of a session: leave them as they were found."""
    if os.geteuid() != 0:
        pytest.skip("the lab must read the whole file system of this host: run as root")
    try:
        require_programs()
    except LabError as error:
        pytest.skip(str(error))
    with Lab(nodes=3) as lab:
        lab.prepare_lvm()
        yield lab


@pytest.fixture
def restored_lab3(lab3: Lab) -> Lab:
    """lab3 with a whole network and all machines on, whatever the test before did."""
    lab3.restore()
    return lab3


@pytest.fixture(scope="session")
def released() -> Path:
    """The build folder of the released commit, with its agent and driver."""
    build = build_released()
    if build is None:
        pytest.skip(f"commit {RELEASED} is not in this clone: git fetch --unshallow")
    return build
