"""What is to become of a node: the commands for people, on a cluster of one."""

import json

import pytest
from plexvol_host import NODE, Host

from lab import wait_until


@pytest.fixture(autouse=True)
def _announced(host: Host) -> None:
    """A moment after its start the agent's own node is not in the store yet."""
    wait_until(lambda: NODE in host.plexvol("node", "list").stdout, 60, "the node is announced")


def refused(host: Host, *arguments: str) -> str:
    done = host.plexvol(*arguments)
    assert done.returncode == 1 and done.stdout == "", done
    return done.stderr


def state(host: Host) -> str:
    (node,) = json.loads(host.plexvol("node", "list", "-o", "json").stdout)["nodes"]
    return str(node["cordon"])


def test_a_cordoned_node_gets_no_new_copy(host: Host) -> None:
    for _ in range(2):
        assert host.plexvol("node", "cordon", NODE).stdout == f"node {NODE} is cordoned\n"
    assert state(host) == "cordoned"
    assert "up, cordoned" in host.plexvol("node", "list").stdout
    assert f"{NODE}: it is cordoned" in refused(host, "volume", "create", "pv", "--size", "32Mi")
    for _ in range(2):
        assert host.plexvol("node", "uncordon", NODE).stdout == f"node {NODE} is uncordoned\n"
    assert state(host) == ""
    assert host.plexvol("volume", "create", "pv", "--size", "32Mi").returncode == 0
    assert host.plexvol("volume", "delete", "pv").returncode == 0


def test_a_drain_says_what_it_cannot_move(host: Host) -> None:
    assert host.plexvol("node", "drain", NODE).stdout == f"node {NODE} is empty\n"
    assert host.plexvol("node", "uncordon", NODE).returncode == 0
    assert host.plexvol("volume", "create", "pv", "--size", "32Mi").returncode == 0
    stuck = host.plexvol("node", "drain", NODE)
    assert stuck.returncode == 1
    # DRBD is not there.
    assert "pv: its only replica is there: cannot create a second replica: " in stuck.stdout
    assert stuck.stderr == f"plexvol: what is left on {NODE} needs an administrator\n"
    assert state(host) == "draining"
    assert host.plexvol("volume", "delete", "pv").returncode == 0
    assert host.plexvol("node", "drain", NODE).returncode == 0
    assert host.plexvol("node", "uncordon", NODE).returncode == 0


def test_only_a_node_that_is_away_is_forgotten(host: Host) -> None:
    assert f"`plexvol node drain {NODE}`" in refused(host, "node", "forget", NODE)
    assert state(host) == ""


@pytest.mark.finding("O9")
def test_an_unknown_node_is_named(host: Host) -> None:
    for verb in ("cordon", "uncordon", "drain", "forget"):
        assert f"no node named nx; there are: {NODE}" in refused(host, "node", verb, "nx")
    assert "name" in refused(host, "node", "cordon", "../x")
