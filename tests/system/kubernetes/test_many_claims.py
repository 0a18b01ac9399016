"""As many claims as a large cluster makes at once, with a genuine API server and no nodes: see kube/api_only.py."""

from collections.abc import Iterator

import pytest
from kube.api_only import NODE, ApiOnly, claim
from kube.rights import count
from lab import wait_until

CLAIMS = 500
SECONDS = 600
# Of the controller, for each claim: the claim is read, its PersistentVolume is made, an event tells of it, and its volume is
# shown: while it is made, when it is, and when it has a PersistentVolume. A node has one patch a second at most, for all that
# has changed there.
MOST_REQUESTS = {"get persistentvolumeclaims": 1.05, "create persistentvolumes": 1.05, "create events": 1.05,
                 "create plexvolvolumes": 1.05, "patch plexvolvolumes/status": 3.1, "patch nodes": 0.5,
                 "patch plexvolnodes/status": 0.5}  # fmt: skip
# To remove one: the PersistentVolume and the claim are read, and the PersistentVolume is deleted.
MOST_TO_REMOVE = {"get persistentvolumes": 1.1, "get persistentvolumeclaims": 1.1, "delete persistentvolumes": 1.05,
                  "patch plexvolvolumes/status": 2.1, "delete plexvolvolumes": 1.05, "patch nodes": 0.5,
                  "patch plexvolnodes/status": 0.5}  # fmt: skip


@pytest.fixture
def cluster(able: None) -> Iterator[ApiOnly]:
    with ApiOnly() as cluster:
        cluster.start_controller()
        yield cluster


def check_requests(cluster: ApiOnly, most: dict[str, float]) -> None:
    asked = {right: number / CLAIMS for right, number in count(cluster.requests()).items()}
    print({right: round(number, 3) for right, number in asked.items()})
    # What is asked for a few times only is not asked for each claim.
    too_many = {right: number for right, number in asked.items() if number > most.get(right, 0.02)}
    assert too_many == {}, asked


@pytest.mark.long
def test_hundreds_of_claims_at_once(cluster: ApiOnly) -> None:
    cluster.forget_requests()
    cluster.create([claim(f"claim-{number}") for number in range(CLAIMS)])
    cluster.wait_bound(CLAIMS, SECONDS)
    wait_until(lambda: count(cluster.requests())["create events"] >= CLAIMS, SECONDS, "all events are told", interval=1)
    wait_until(lambda: count(cluster.requests())["create plexvolvolumes"] >= CLAIMS, SECONDS, "all are shown", interval=1)
    check_requests(cluster, MOST_REQUESTS)
    assert cluster.warnings() == []

    cluster.forget_requests()
    cluster.kubectl("delete", "pvc", "--all", "--wait=false", timeout=SECONDS)
    wait_until(lambda: cluster.find_all("pv") == [], SECONDS, "no PersistentVolume is left", interval=2)
    wait_until(lambda: not has_labels(cluster), SECONDS, "no label is left", interval=1)
    check_requests(cluster, MOST_TO_REMOVE)
    assert cluster.warnings() == []
    assert cluster.control.run("ls", "-A", "/var/lib/images").split() == []


def has_labels(cluster: ApiOnly) -> bool:
    labels = cluster.get("node", NODE)["metadata"].get("labels", {})
    return any(label.startswith("volume.plexvol.io/") for label in labels)
