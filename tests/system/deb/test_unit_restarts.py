"""installer/plexvold.service by systemd itself, started as a user's: an agent that cannot start yet is never given up."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import wait_until

UNIT = Path(__file__).resolve().parents[3] / "installer" / "plexvold.service"
SYSTEMD = Path("/lib/systemd/systemd")
# More than systemd starts within ten seconds by default.
STARTS = 8
# In a cgroup of its own, which is the root of what it sees. Everything ends with the shell, which reads until we are gone.
START = """
echo $$ >"$2/cgroup.procs"
exec unshare --mount --pid --net --uts --cgroup --fork --kill-child --mount-proc sh -ec '
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount -t cgroup2 none /sys/fs/cgroup
export XDG_RUNTIME_DIR="$1" SYSTEMD_UNIT_PATH="$1"
/lib/systemd/systemd --user --unit=plexvold.service --default-standard-output=inherit >"$1/log" 2>&1 &
read -r _
' sh "$1"
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """In the hierarchy of version 2, which this machine may have mounted nowhere."""
    with tempfile.TemporaryDirectory(prefix="plexvol-cgroup-") as place:
        done = subprocess.run(["mount", "-t", "cgroup2", "none", place], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no cgroup2 here: {done.stderr.strip()}")
        own = Path(place) / f"plexvol-unit-{os.getpid()}"
        try:
            own.mkdir()
            yield own
            wait_until(lambda: "populated 0" in (own / "cgroup.events").read_text(), 60, "all of it has ended")
            for folder in sorted(own.rglob("*"), reverse=True):
                if folder.is_dir():
                    folder.rmdir()
            own.rmdir()
        finally:
            subprocess.run(["umount", place], check=True)


@pytest.mark.finding("O2")
@pytest.mark.skipif(os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and systemd")
def test_an_agent_that_cannot_start_is_started_again_and_again(cgroup: Path, tmp_path: Path) -> None:
    unit = UNIT.read_text().replace("@PREFIX@/sbin/plexvold", f"/bin/sh -c 'echo >>{tmp_path}/starts; exit 1'")
    # What is asked for is how often, not how soon.
    unit = unit.replace("RestartSec=1\n", "RestartSec=0.1\n")
    (tmp_path / "plexvold.service").write_text(unit)
    (tmp_path / "basic.target").write_text("[Unit]\nDefaultDependencies=no\n")
    starts = tmp_path / "starts"
    process = subprocess.Popen(["sh", "-ec", START, "sh", tmp_path, cgroup], stdin=subprocess.PIPE)
    try:

        def often() -> bool:
            return starts.exists() and len(starts.read_text()) >= STARTS

        wait_until(often, 30, f"it is started {STARTS} times")
    finally:
        process.communicate()
