"""The cluster for the fault suite's sequences: three nodes with etcd and agents."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from suite.world import World  # noqa: E402  (first: the suite makes the lab importable)

from cluster import BUILD, Cluster  # noqa: E402
from lab import Lab  # noqa: E402


@pytest.fixture(scope="session")
def world(lab3: Lab) -> World:
    for program in ("plexvold", "plexvol"):
        if not (BUILD / program).exists():
            pytest.skip(f"build/{program} is not built")
    lab3.restore()
    cluster = Cluster(lab3)
    # Tests of another folder may have started it in the same session.
    if lab3.node("n1").run(["test", "-e", "/persist/service/etcd"]).code != 0:
        cluster.start()
    cluster.wait_alive([node.name for node in lab3.nodes])
    return World(cluster)
