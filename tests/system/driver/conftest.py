"""The driver alone, and an agent that is only played."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_agent import FakeAgent
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
