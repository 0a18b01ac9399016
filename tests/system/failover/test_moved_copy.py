"""A copy moves, its label follows it, and the scheduler sends the pod after it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from world import PATIENCE, World

pytestmark = pytest.mark.long


@contextmanager
def closed_to_pods(world: World, *names: str) -> Iterator[None]:
    world.kubernetes.kubectl("cordon", *names)
    try:
        yield
    finally:
        world.kubernetes.kubectl("uncordon", *names)


@contextmanager
def drained(world: World, name: str) -> Iterator[None]:
    """Of copies: each has moved to another node, and is whole there."""
    try:
        done = world.agents.plexvol(name, "node", "drain", name, timeout=PATIENCE)
        assert done.code == 0, done.stdout + done.stderr
        yield
    finally:
        world.agents.plexvol(name, "node", "uncordon", name)


def test_a_waiting_pod_starts_where_a_copy_has_moved_to(world: World) -> None:
    writer = world.start_writer("n1")
    other = world.survivor(writer.volume, "n1")
    (third,) = {"n1", "n2", "n3"} - {"n1", other}
    assert world.labelled(writer.volume) == sorted(["n1", other])
    with closed_to_pods(world, "n1", other):
        world.kubernetes.kubectl("delete", "pod", writer.pod, "--wait=false")
        world.wait_event("Pod", writer.pod, "FailedScheduling: .*volume node affinity conflict")
        with drained(world, other):
            writer.wait_on(third)
            writer.check_nothing_is_lost(third)
            assert world.labelled(writer.volume) == sorted(["n1", third])
