"""Every example of this repository, as it is, applied by kubectl."""

import pytest
from kube.cluster import NODES
from kube.installation import Installation
from lab import wait_until
from workloads import EXAMPLES, PATIENCE, Workloads

# Volumes that an example says to make before, as plexvol's words.
FIRST = {
    "pv-pvc-pod.yaml": {"pv-1": ["1Gi"]},
    "statefulset.yaml": {"db-0": ["2Gi", "--fs-type", "xfs"], "db-1": ["2Gi", "--fs-type", "xfs"]},
}
# Where each pod has its volume, and a file system of this kind.
MOUNTS = {
    "claim.yaml": {"claimer": ("/data", "ext4")},
    "inline-pod.yaml": {"shell": ("/scratch", "xfs")},
    "lvm-demo-driver.yaml": {"nginx": ("/data", "ext4")},
    "pv-pvc-pod.yaml": {"writer": ("/data", "ext4")},
    "statefulset.yaml": {"db-0": ("/data", "xfs"), "db-1": ("/data", "xfs")},
}


def test_all_examples_are_tested() -> None:
    assert sorted(file.name for file in EXAMPLES.glob("*.yaml")) == sorted([*MOUNTS, "read-only.yaml"])


def mount_options(workloads: Workloads, pod: str, path: str) -> tuple[str, set[str]]:
    """The file system's kind, and how it is mounted in the pod."""
    for line in workloads.sh(pod, "cat /proc/mounts").splitlines():
        device, where, kind, words, *_ = line.split()
        if where == path:
            assert device.startswith("/dev/")
            return kind, set(words.split(","))
    raise AssertionError(f"nothing is mounted at {path} in {pod}")


def make_volumes(plexvol: Installation, example: str) -> list[str]:
    """The nodes on which all of them can be mounted."""
    nodes = list(NODES)
    for name, words in FIRST.get(example, {}).items():
        nodes = plexvol.make_volume(name, *words)
    return nodes


@pytest.mark.parametrize("example", MOUNTS)
def test_the_pods_of_an_example_have_their_volumes(example: str, plexvol: Installation, workloads: Workloads) -> None:
    with plexvol.cluster.only_on(make_volumes(plexvol, example)):
        workloads.apply_example(example)
        workloads.wait_running(*MOUNTS[example])
    for pod, (path, kind) in MOUNTS[example].items():
        assert mount_options(workloads, pod, path)[0] == kind
        workloads.sh(pod, f"echo kept > {path}/file && sync {path}/file && grep kept {path}/file")
    if example == "pv-pvc-pod.yaml":
        read_what_the_writer_writes(plexvol, workloads)


def read_what_the_writer_writes(plexvol: Installation, workloads: Workloads) -> None:
    """read-only.yaml goes with pv-pvc-pod.yaml."""
    workloads.apply_example("read-only.yaml")
    workloads.wait_running("reader")
    assert "ro" in mount_options(workloads, "reader", "/data")[1]
    assert "rw" in mount_options(workloads, "writer", "/data")[1]
    before = int(workloads.sh("reader", "wc -l < /data/log"))

    def is_more_there() -> bool:
        return int(workloads.sh("reader", "wc -l < /data/log")) > before

    wait_until(is_more_there, PATIENCE, "the reader sees a new line")
    assert plexvol.cluster.try_kubectl("exec", "reader", "--", "touch", "/data/mine").returncode != 0
