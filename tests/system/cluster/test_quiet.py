"""What an agent does while nothing changes, and what it notices all the same."""

from collections import Counter
from collections.abc import Callable

import pytest
from cluster import Cluster, options, pod_dir
from lab import wait_until

PATROLS = 5

pytestmark = pytest.mark.long


def test_a_patrol_runs_one_look_at_drbd_and_nothing_else(
    impatient: Cluster, new_name: Callable[[], str]
) -> None:
    mirrored, alone = new_name(), new_name()
    driver = impatient.driver("n1")
    driver.must("mount", pod_dir(mirrored), options(mirrored, size="64Mi", replicas="2", pool="thick"))
    driver.must("mount", pod_dir(alone), options(alone, size="64Mi", pool="thick"))

    def looks(volume: str) -> Counter[str]:
        return Counter(impatient.tools_run("n1", volume))

    wait_until(lambda: impatient.replica("n1", mirrored, "n1").get("mounts"), 120, f"{mirrored} is reported as mounted")
    before, before_alone = looks(mirrored), looks(alone)
    wait_until(lambda: looks(mirrored).total() >= before.total() + PATROLS, 120, f"{PATROLS} patrols")
    assert set(looks(mirrored) - before) == {"drbdsetup"}
    assert looks(alone) == before_alone

    for name in (mirrored, alone):
        driver.must("unmount", pod_dir(name))
        impatient.wait_detached("n1", name)
        impatient.delete_volume("n1", name)


def test_a_logical_volume_that_somebody_else_has_put_there_is_noticed(
    impatient: Cluster, new_name: Callable[[], str]
) -> None:
    """Although no tool is asked about one that was looked at before."""
    name = new_name()
    n1 = impatient.node("n1")
    impatient.create_volume("n1", name, "64Mi", "n1")
    before = Counter(impatient.tools_run("n1", name))
    n1.sh(f"lvrename vg0 {name} {name}-kept && lvcreate -qq -y -n {name} -L 64m vg0")

    def error() -> str:
        return str(impatient.replica("n1", name, "n1").get("error", ""))

    wait_until(lambda: "was not made for this volume" in error(), 120, "the agent says whose it is not")
    assert Counter(impatient.tools_run("n1", name))["lvs"] > before["lvs"]
    n1.sh(f"lvremove -qq -f vg0/{name} && lvrename vg0 {name}-kept {name}")
    wait_until(lambda: error() == "", 120, "all is well again")
    impatient.delete_volume("n1", name)
