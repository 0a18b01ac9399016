"""Agents are killed again and again, at moments that nobody chose, while a volume lives on two nodes."""

import os
import random
import time

import pytest
from cluster import Cluster, Reply, options, pod_dir
from copies import shown, wait_copies
from lab import wait_until

KILLS = 50
# In one call: the agents get somewhere in between, and are hit in its later steps, too.
KILLS_OF_A_CALL = 3
NODES = ("n1", "n2", "n3")


@pytest.fixture
def chance() -> random.Random:
    """Of PLEXVOL_SEED, or new each time; a failing test shows which."""
    seed = os.environ.get("PLEXVOL_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"PLEXVOL_SEED={seed}")
    return random.Random(seed)


class Killer:
    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self.kills = 0

    def disturb(self, node: str, *arguments: str) -> None:
        """Whatever becomes of this call, it may be made again and then succeeds."""
        self._kill_beside(node, *arguments)
        self.again(node, *arguments)

    def _kill_beside(self, node: str, *arguments: str) -> None:
        call = self._cluster.driver(node).start(*arguments)
        for _ in range(KILLS_OF_A_CALL):
            time.sleep(self._chance.uniform(0, 1.5))  # the moment itself is what is tried
            victim = self._chance.choice(NODES)
            self._cluster.kill_agent(victim)
            self._cluster.resume_agent(victim)
            self.kills += 1
        call.wait(300)

    def disturb_command(self, node: str, *arguments: str) -> None:
        self._kill_beside(node, *arguments)
        # The agent may not serve yet, and other nodes' may be on their way.
        command = f"plexvol {' '.join(arguments)}"
        wait_until(lambda: self._cluster.plexvol(node, *arguments).code == 0, 180, command)

    def again(self, node: str, *arguments: str) -> Reply:
        return self._cluster.driver(node).must(*arguments)


@pytest.mark.long
def test_the_same_call_succeeds_after_each_kill(cluster: Cluster, chance: random.Random) -> None:
    """At its end the fixture finds no logical volume, resource, mount or key that is left over."""
    killer = Killer(cluster, chance)
    lives = 0
    while killer.kills < KILLS:
        lives += 1
        name, pool = f"pv-kill-{lives}", chance.choice(("thick", "thin"))
        asked, pod = options(name, size="64Mi", replicas="2", pool=pool), pod_dir(name)
        node = chance.choice(NODES)
        killer.disturb(node, "mount", pod, asked)
        cluster.node(node).sh(f"echo {name} >{pod}/file; sync {pod}/file")
        killer.disturb_command(node, "volume", "resize", name, "192Mi")
        assert int(cluster.node(node).sh(f"df -m {pod} | awk 'END {{print $2}}'").stdout) > 150
        killer.disturb(node, "unmount", pod)
        cluster.wait_detached("n3", name)
        other = next(r["node"] for r in (cluster.volume("n3", name) or {})["replicas"] if r["node"] != node)
        killer.disturb(other, "mount", pod, asked)
        assert cluster.node(other).sh(f"cat {pod}/file").stdout.decode().strip() == name
        killer.again(other, "unmount", pod)
        cluster.wait_detached("n3", name)
        # It loses a copy, with the mirror, and gets another one, which moves.
        keep = chance.choice((node, other)) if node != "n3" else other
        killer.disturb_command("n3", "volume", "set", name, "--copies", "1", "--keep", keep)
        wait_copies(cluster, name, keep, mirrored=False)
        killer.disturb_command("n3", "volume", "set", name, "--copies", "2")
        wait_until(lambda: len(shown(cluster, name)["replicas"]) == 2, 120, "it has a second copy")
        second = cluster.other_copy("n3", name, keep)
        wait_copies(cluster, name, keep, second, mirrored=True)
        third = next(other for other in NODES if other not in (keep, second))
        killer.disturb_command("n3", "volume", "move", name, "--from", keep, "--to", third)
        wait_copies(cluster, name, second, third, mirrored=True)
        killer.again(third, "mount", pod, asked)
        assert cluster.node(third).sh(f"cat {pod}/file").stdout.decode().strip() == name
        killer.again(third, "unmount", pod)
        cluster.wait_detached("n3", name)
        cluster.delete_volume("n3", name)
    print(f"{killer.kills} kills in {lives} lives")
