"""The driver alone, and an agent that is only played."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Disk
from fake_agent import FakeAgent, result
from lone_driver import Driver


@pytest.fixture
def driver() -> Iterator[Driver]:
    """In a short path: the name of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="plexvol-") as directory:
        yield Driver(Path(directory))


@pytest.fixture
def agent(driver: Driver) -> Iterator[FakeAgent]:
    fake = FakeAgent(driver.socket).start()
    yield fake
    fake.stop()


@pytest.fixture
def disk(driver: Driver) -> Iterator[Disk]:
    made = Disk(driver.directory, "pv-1")
    yield made
    made.remove()


@pytest.fixture
def other_disk(driver: Driver) -> Iterator[Disk]:
    made = Disk(driver.directory, "pv-2")
    yield made
    made.remove()


@pytest.fixture
def target(driver: Driver) -> Path:
    return driver.directory / "pods" / "volumes" / "pv-1"


@pytest.fixture
def willing(agent: FakeAgent, request: pytest.FixtureRequest) -> None:
    agent.answers.update({"/v1/mounted": result({}), "/v1/unmounted": result({})})
    if "disk" in request.fixturenames:
        agent.answers["/v1/mount"] = result(request.getfixturevalue("disk").reply())
