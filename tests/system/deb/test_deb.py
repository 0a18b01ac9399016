"""`make deb`: really installed, upgraded, removed and purged by dpkg, on a copy of this machine's / that is thrown away."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "system" / "host"))

from isolated import Machine  # noqa: E402

PLUGINS = "usr/libexec/kubernetes/kubelet-plugins/volume/exec"
DRIVER = f"{PLUGINS}/plexvol~plexvol/plexvol"
HELPER = "usr/lib/plexvol/drbd-helper"
CONFIG = "etc/plexvol/plexvold.json"
# What is written goes to memory; /run is empty, so no systemd is told of anything.
LAY_OVER = """
mount -t tmpfs plexvol-deb "$1/written"
mkdir "$1/written/upper" "$1/written/work"
mount -t overlay -o "lowerdir=/,upperdir=$1/written/upper,workdir=$1/written/work" plexvol-deb "$1/root"
mount -t tmpfs -o mode=755 plexvol-deb "$1/root/run"
mount -t proc proc "$1/root/proc"
"""


def make_deb(target: Path) -> Path:
    subprocess.run([ROOT / "installer" / "deb", ROOT / "build", "0.1.0", target], check=True, cwd=ROOT)
    return target


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_deb(tmp_path_factory.mktemp("deb") / "plexvol.deb")


class ThrownAway:
    """A / of its own on a machine of its own: it goes with that."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self._machine = machine
        self._root = folder / "root"
        for name in ("written", "root"):
            (folder / name).mkdir()
        machine.run("sh", "-ec", LAY_OVER, "sh", folder)

    def must(self, *argv: str | Path) -> str:
        return self._machine.run("chroot", self._root, *argv)

    def popen(self, *argv: str | Path) -> "subprocess.Popen[str]":
        return self._machine.popen(["chroot", self._root, *argv], stdout=subprocess.PIPE)

    def path(self, path: str) -> Path:
        return self._machine.see(self._root / path)


@pytest.fixture
def machine() -> Iterator[ThrownAway]:
    if os.geteuid() != 0:
        pytest.skip("dpkg and mounts need root")
    folder = Path(tempfile.mkdtemp(prefix="plexvol-deb-"))
    machine = Machine()
    try:
        yield ThrownAway(machine, folder)
    finally:
        machine.power_off()
        shutil.rmtree(folder)


@pytest.fixture
def installed(machine: ThrownAway, deb: Path) -> ThrownAway:
    shutil.copy(deb, machine.path("run/plexvol.deb"))
    machine.path(PLUGINS).mkdir(parents=True, exist_ok=True)
    machine.must("dpkg", "--install", "/run/plexvol.deb")
    return machine


def test_it_is_the_same_each_time(deb: Path, tmp_path: Path) -> None:
    again = make_deb(tmp_path / "again.deb")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest()


def test_it_brings_agent_driver_helper_and_what_they_need(installed: ThrownAway) -> None:
    assert "install ok installed" in installed.must("dpkg-query", "--show", "--showformat=${Status}", "plexvol")
    assert installed.must("plexvol", "--version").startswith("plexvol 0.")
    assert installed.must("plexvold", "--version").startswith("plexvold 0.")
    assert '"Success"' in installed.must(f"/{DRIVER}", "init")
    assert installed.path(HELPER).read_bytes() == installed.path(DRIVER).read_bytes()
    assert f'"helper": "/{HELPER}"' in installed.path(CONFIG).read_text()
    # As systemd itself reads it, executable and all.
    installed.must("systemd-analyze", "verify", "/usr/lib/systemd/system/plexvold.service")


@pytest.mark.finding("S1")
def test_the_packages_scripts_heed_no_users_kubelet(machine: ThrownAway, deb: Path) -> None:
    """One that names a directory of its own; and a lock that it holds on the usual one."""
    shutil.copy(deb, machine.path("run/plexvol.deb"))
    evil = machine.path("home/evil/plugins/plexvol~plexvol")
    evil.mkdir(parents=True)
    (evil / ".plexvol.previous").write_text("#!/bin/sh\ntouch /was-run-as-root\n")
    machine.path(PLUGINS).mkdir(parents=True, exist_ok=True)
    for path in (evil, evil.parent, evil.parent.parent):
        os.chown(path, 65534, 65534)
    before = sorted(os.listdir(evil))
    script = f"import fcntl, os, signal; fcntl.flock(os.open('/{PLUGINS}', os.O_RDONLY), fcntl.LOCK_EX); print('up', flush=True); signal.pause()"
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", 'exec -a kubelet "$@"', "bash"]
    kubelet = machine.popen(*as_nobody, "/usr/bin/python3", "-c", script, "--volume-plugin-dir=/home/evil/plugins")
    assert kubelet.stdout is not None and kubelet.stdout.readline() == "up\n"
    for action in (["--install", "/run/plexvol.deb"], ["--install", "/run/plexvol.deb"], ["--remove", "plexvol"]):
        machine.must("dpkg", *action)
        assert sorted(os.listdir(evil)) == before
        assert machine.path(DRIVER).exists() == (action[0] == "--install")
    assert not machine.path("was-run-as-root").exists()
    assert kubelet.poll() is None


def test_a_machine_whose_kubelet_comes_later_is_told_what_to_do_then(machine: ThrownAway, deb: Path) -> None:
    shutil.copy(deb, machine.path("run/plexvol.deb"))
    said = machine.must("dpkg", "--install", "/run/plexvol.deb")
    assert "when the kubelet is: plexvol driver install" in said
    machine.must("dpkg", "--remove", "plexvol")
    assert not machine.path(HELPER).exists()


def test_an_upgrade_keeps_the_configuration_and_replaces_the_driver(installed: ThrownAway) -> None:
    config = installed.path(CONFIG)
    config.write_text(config.read_text().replace("vg0", "vg1"))
    installed.path(DRIVER).write_text("#!/bin/false of the version before\n")
    installed.must("dpkg", "--install", "/run/plexvol.deb")
    assert "vg1" in config.read_text()
    assert '"Success"' in installed.must(f"/{DRIVER}", "init")


def test_removed_it_leaves_the_configuration_and_purged_only_data(installed: ThrownAway) -> None:
    state = installed.path("var/lib/plexvol/state")
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("of volumes")
    installed.must("dpkg", "--remove", "plexvol")
    for gone in (DRIVER, HELPER, "usr/sbin/plexvold", "usr/bin/plexvol"):
        assert not installed.path(gone).exists(), gone
    assert installed.path(CONFIG).exists()
    installed.must("dpkg", "--purge", "plexvol")
    assert not installed.path(CONFIG).exists()
    assert state.read_text() == "of volumes"
