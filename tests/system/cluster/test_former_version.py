"""A cluster is upgraded node by node: the last released agent and today's share one, and change the same volumes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import BUILD, Cluster, options, pod_dir
from lab import wait_until
from pods import checksum, mount_as_kubelets_do, write_random

@pytest.fixture
def mixed(cluster: Cluster, released: Path) -> Iterator[Cluster]:
    """n2 runs the released agent and driver, the others today's. At the end all run today's."""
    cluster.install_from(released, "n2")
    yield cluster
    cluster.restore()
    cluster.install_from(BUILD, "n2")
    for node in cluster.lab.nodes:
        assert cluster.plexvol("n1", "node", "uncordon", node.name).code == 0


def record(cluster: Cluster, key: str) -> dict[str, object]:
    node = cluster.node("n1")
    argv = ["/usr/bin/etcdctl", f"--endpoints={node.etcd_url}", "get", "--print-value-only", f"/plexvol/{key}"]
    value = json.loads(node.check(argv, env={"ETCDCTL_API": "3"}).stdout)
    assert isinstance(value, dict)
    return value


def write_and_leave(cluster: Cluster, node: str, pod: str, asked: str, file: str) -> str:
    mount_as_kubelets_do(cluster, node, pod, asked)
    written = write_random(cluster, node, f"{pod}/{file}", 3)
    cluster.driver(node).must("unmount", pod)
    return written


def copies(cluster: Cluster, name: str) -> set[str]:
    shown = cluster.volume("n1", name)
    if shown is None or shown["state"] != "Ready" or shown["former"]:
        return set()
    return {replica["node"] for replica in shown["replicas"]}


def complaints(cluster: Cluster) -> list[str]:
    """What any agent could not read of what the others have written."""
    words = ("cannot be read", "unknown word", "is not used: ", "another agent runs")
    logs = {node.name: node.read_file(node.service_log_path("plexvold")).decode() for node in cluster.lab.nodes}
    return [f"{name}: {line}" for name, log in logs.items() for line in log.splitlines() if any(w in line for w in words)]


@pytest.mark.long
@pytest.mark.finding("D6")
@pytest.mark.parametrize("creator", ["n1", "n2"])
def test_the_released_agent_and_todays_change_the_same_volumes(mixed: Cluster, creator: str) -> None:
    cluster, name = mixed, f"pv-mixed-{creator}"
    pod, asked = pod_dir(name), options(name)
    before = set(complaints(cluster))
    cluster.create_volume(creator, name, "64Mi", "n1", "n2")
    files = {}
    for node in ("n2", "n1", "n2"):
        files[f"f{len(files)}"] = write_and_leave(cluster, node, pod, asked, f"f{len(files)}")
    cluster.wait_detached("n3", name)

    # Each takes over from the other when its node dies, and is put back by it.
    for dies, takes_over in (("n1", "n2"), ("n2", "n1")):
        mount_as_kubelets_do(cluster, dies, pod, asked)
        file = f"f{len(files)}"
        files[file] = write_random(cluster, dies, f"{pod}/{file}", 3)
        cluster.node(dies).power_off()
        mount_as_kubelets_do(cluster, takes_over, pod, asked)
        assert checksum(cluster, takes_over, f"{pod}/{file}") == files[file]
        file = f"f{len(files)}"
        files[file] = write_random(cluster, takes_over, f"{pod}/{file}", 3)
        cluster.node(dies).power_on()
        cluster.wait_alive(["n1", "n2", "n3"])
        cluster.wait_state("n3", name, "Ready", 240)
        cluster.driver(takes_over).must("unmount", pod)
        cluster.wait_detached("n3", name)

    # A copy moves away from the released agent's node and back to it, each asked of the other's.
    for asked_of, drained, expected in (("n1", "n2", {"n1", "n3"}), ("n2", "n3", {"n1", "n2"})):
        done = cluster.plexvol(asked_of, "node", "drain", drained, timeout=300)
        assert done.code == 0, done.text
        wait_until(lambda expected=expected: copies(cluster, name) == expected, 240, f"{name} is whole on {expected}")
        assert cluster.plexvol(asked_of, "node", "uncordon", drained).code == 0
    files["moved"] = write_and_leave(cluster, "n2", pod, asked, "moved")
    cluster.wait_detached("n3", name)

    # What only n1 has is given up, by a word to the released agent.
    cluster.node("n2").power_off()
    write_and_leave(cluster, "n1", pod, asked, "given-up")
    cluster.node("n1").power_off()
    cluster.node("n2").power_on()
    cluster.wait_alive(["n2", "n3"])
    wait_until(lambda: cluster.replica("n3", name, "n1").get("alive") is False, 120, "n1 counts as gone")
    forced = cluster.plexvol("n2", "volume", "force-current", name, "--node", "n2", "--i-accept-data-loss")
    assert forced.code == 0, forced.text
    mount_as_kubelets_do(cluster, "n2", pod, asked)
    cluster.node("n1").power_on()
    cluster.wait_state("n2", name, "Ready", 240)
    cluster.driver("n2").must("unmount", pod)
    mount_as_kubelets_do(cluster, "n1", pod, asked)
    for file, written in files.items():
        assert checksum(cluster, "n1", f"{pod}/{file}") == written, file
    assert cluster.node("n1").run(["test", "-e", f"{pod}/given-up"]).code != 0
    cluster.driver("n1").must("unmount", pod)
    cluster.wait_detached("n3", name)

    # What the released agent does not know stands in keys that it leaves alone.
    machines = [key for key in cluster.store_keys("n1") if key.startswith("/plexvol/machines/")]
    assert {"/plexvol/machines/n1", "/plexvol/machines/n3"} <= set(machines)
    assert record(cluster, f"current/{name}")["nodes"] == ["n1", "n2"]
    cluster.delete_volume("n2" if creator == "n1" else "n1", name)
    assert set(complaints(cluster)) == before
