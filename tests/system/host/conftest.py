"""The fixtures of a machine with an agent; other folders' tests use them, too."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

pytest.register_assert_rewrite("isolated", "plexvol_host", "pod_runtime")

from host_fixtures import chance, host, pytest_runtest_makereport, runtime  # noqa: E402

__all__ = ["chance", "host", "pytest_runtest_makereport", "runtime"]
