"""What was recorded is replayed against a machine with an agent, as the host's tests have it."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "host"), str(Path(__file__).resolve().parent)]

pytest.register_assert_rewrite("isolated", "plexvol_host", "pod_runtime", "recording", "replay")

from host_fixtures import host, pytest_runtest_makereport, runtime  # noqa: E402

__all__ = ["host", "pytest_runtest_makereport", "runtime"]
