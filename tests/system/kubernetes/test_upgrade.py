"""Another version beside pods that run, Kubernetes' own attaching, and the way back, which is the last test."""

import signal

from kube.cluster import NODES
from kube.installation import CONTROLLER, DRIVER, PLUGINS, UNINSTALL, Installation
from lab import wait_until
from workloads import PATIENCE, Workloads, restarts

WRITE = "n=0; while n=$((n + 1)) && echo $n >> /data/numbers && sync /data/numbers; do sleep 0.2; done"


def last_number(workloads: Workloads, name: str) -> int:
    return int(workloads.sh(name, "tail -n 1 /data/numbers") or "0")


def wait_written(workloads: Workloads, name: str) -> None:
    before = last_number(workloads, name)
    wait_until(lambda: last_number(workloads, name) > before, PATIENCE, f"{name} writes")


def attached(plexvol: Installation, node: str) -> list[str]:
    """As Kubernetes' controller-manager says it of the node."""
    found = plexvol.cluster.get("node", node)["status"].get("volumesAttached", [])
    return [one["name"].rpartition("/")[2] for one in found]


def test_an_upgrade_beside_a_pod_that_writes(plexvol: Installation, workloads: Workloads) -> None:
    """It also lets Kubernetes attach volumes, of which this one is none."""
    [node, *_] = plexvol.make_volume("upgrade", "64Mi")
    workloads.run_pod("upgrade", "upgrade", node=node, command=WRITE)
    old = {name: plexvol.driver(name) for name in NODES}
    plexvol.bring_next_image()
    plexvol.apply("--attach", "--plugin-dir", PLUGINS)
    assert {name: plexvol.driver(name) for name in NODES} == {name: driver + b"next" for name, driver in old.items()}
    wait_written(workloads, "upgrade")
    plexvol.cluster.restart_kubelet(node)
    workloads.wait_running("upgrade")
    wait_written(workloads, "upgrade")
    assert restarts(workloads.get("upgrade")) == 0
    numbers = workloads.sh("upgrade", "cat /data/numbers").split()
    assert numbers == [str(number + 1) for number in range(len(numbers))]
    # The new pair of agent and driver unmounts what the old one has mounted.
    workloads.delete_pod("upgrade", "upgrade")
    workloads.wait_detached("upgrade")


def test_kubernetes_attaches(plexvol: Installation, workloads: Workloads) -> None:
    plexvol.apply("--attach", "--plugin-dir", PLUGINS)
    [node, *_] = plexvol.make_volume("attached", "64Mi")
    workloads.run_pod("attached-1", "attached", node=node)
    assert "attached" in attached(plexvol, node)
    plexvol.cluster.restart_kubelet(node)
    workloads.wait_running("attached-1")
    assert restarts(workloads.get("attached-1")) == 0

    workloads.delete_pod("attached-1", "attached")
    wait_until(lambda: "attached" not in attached(plexvol, node), PATIENCE, "it is detached")
    workloads.wait_detached("attached")
    workloads.run_pod("attached-2", "attached", node=node)
    assert workloads.sh("attached-2", "wc -l < /data/starts").strip() == "2"


def test_a_dead_nodes_volume_is_detached_once_it_is_not_listed_as_in_use(plexvol: Installation, workloads: Workloads) -> None:
    """What the controller rests on when it takes a volume from that list: the controller-manager would wait six minutes."""
    cluster = plexvol.cluster
    plexvol.apply("--attach", "--plugin-dir", PLUGINS)
    [node, *_] = plexvol.make_volume("in-use", "64Mi")
    workloads.run_pod("in-use", "in-use", node=node)
    name = "plexvol/plexvol/in-use"

    def listed() -> list[str]:
        return list(cluster.get("node", node)["status"].get("volumesInUse", []))

    wait_until(lambda: name in listed(), PATIENCE, "the kubelet lists it")
    cluster.workers[node].stop_kubelet(signal.SIGKILL)
    cluster.kubectl("delete", "pod", "in-use", "--force", "--grace-period=0")
    assert "in-use" in attached(plexvol, node)
    cluster.list_in_use(node, [one for one in listed() if one != name])
    wait_until(lambda: "in-use" not in attached(plexvol, node), PATIENCE, "it is detached")
    cluster.workers[node].start_kubelet()
    wait_until(lambda: cluster.is_ready(node), PATIENCE, f"{node} is ready again")


def test_an_uninstallation_leaves_nothing(plexvol: Installation, workloads: Workloads) -> None:
    cluster = plexvol.cluster
    cluster.kubectl("delete", "statefulsets,pods", "--all", "--grace-period=1", "--wait=false")
    for volume in plexvol.list_volumes():
        workloads.wait_detached(volume)
        plexvol.plexvol("volume", "delete", volume)
    plexvol.delete_controller()
    plexvol.delete_agents()
    plexvol.delete_etcd()
    cluster.kubectl("apply", "-f", "-", stdin=plexvol.render("--uninstall"))
    plexvol.wait_rolled_out(UNINSTALL)
    stays = ["configmap/plexvol", "secret/plexvol-etcd", "secret/plexvol-etcd-member", "serviceaccount/plexvol"]
    stays += [f"{kind}/{CONTROLLER}" for kind in ("serviceaccount", "role", "rolebinding")]
    stays.append("lease/plexvol.io-flexvolume")
    cluster.kubectl("-n", "kube-system", "delete", "--wait=false", f"daemonset/{UNINSTALL}", *stays)
    everywhere = [f"{kind}/{CONTROLLER}" for kind in ("clusterrole", "clusterrolebinding")]
    cluster.kubectl("delete", "--wait=false", "storageclass/plexvol", "storageclass/plexvol-mirrored", *everywhere)
    for worker in cluster.workers.values():
        for path in (DRIVER.rpartition("/")[0], "/var/lib/plexvol/plexvol", "/run/plexvol"):
            assert worker.machine.ask("test", "-e", path).returncode == 1, path
        assert [mount for mount in worker.machine.mounts() if "/plexvol~plexvol/" in mount] == []
        assert plexvol.list_left(worker.name) == []
