"""The faults. Each is a function that makes it and returns how it is healed; FAULTS is the list they are drawn from.

To add one: write the function, add a line to FAULTS.
"""

import contextlib
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from cluster import AGENT, BUILD
from lab import Command, CommandTimeout, LabError, etcd
from released import RELEASED, find_released

from . import GUEST
from .workload import Workload
from .world import ETCD, World

TOOL_SECONDS = 20


class NotNow(Exception):
    """The fault makes no sense in this state: a machine that is off cannot lose its power."""


@dataclass
class Scene:
    """What a fault may touch."""

    world: World
    workload: Workload
    random: random.Random  # of this one step: so a step that is left out changes nothing for those after it

    def resolve(self, role: str) -> str:
        """`primary` and `secondary` are meant as of now; anything else is a node's name."""
        if role == "primary":
            return self.workload.primary
        if role == "secondary":
            return self.world.other_replica(self.workload.primary)
        return role

    def require_commands(self, name: str) -> None:
        if not self.world.takes_commands(name):
            raise NotNow(f"{name} is {self.world.node(name).state}")


Heal = Callable[[], None]


def _nothing() -> None:
    """Heals by itself."""


def power_off(scene: Scene, name: str) -> Heal:
    node = scene.world.node(name)
    if node.state == "off":
        raise NotNow(f"{name} is off")
    node.power_off()
    return lambda: _power_on(scene.world, name)


def _power_on(world: World, name: str) -> None:
    if world.node(name).state == "off":
        world.node(name).power_on(wait=False)


def blackout(scene: Scene, _: str) -> Heal:
    """Both copies lose power at the same moment, at times the third node too; they return in any order."""
    names = list(scene.world.replicas)
    if scene.random.random() < 0.5:
        names = list(scene.world.names)
    scene.random.shuffle(names)
    for name in names:
        scene.world.node(name).power_off()
    scene.random.shuffle(names)
    return lambda: _power_on_in_turn(scene.world, names)


def _power_on_in_turn(world: World, names: list[str]) -> None:
    """Each is up before the next begins: it decides alone what it may do."""
    for name in names:
        _power_on(world, name)
        world.node(name).wait_ready()


def cut_link(scene: Scene, _: str) -> Heal:
    return _cut(scene.world, scene.world.network.between(*scene.world.replicas))


def cut_one_way(scene: Scene, name: str) -> Heal:
    """What this node sends to the other replica is lost, the answers are not."""
    return _cut(scene.world, frozenset({(name, scene.world.other_replica(name), 0)}))


def isolate(scene: Scene, name: str) -> Heal:
    return _cut(scene.world, scene.world.network.all_of(name))


def cut_all(scene: Scene, _: str) -> Heal:
    return _cut(scene.world, scene.world.network.all())


def cut_store(scene: Scene, name: str) -> Heal:
    """What is etcd's only: the member here is without a majority, no other is reached, and the peer is kept."""
    network = scene.world.network
    return _cut(scene.world, network.all_of(name, etcd.CLIENT_PORT) | network.all_of(name, etcd.PEER_PORT))


def _cut(world: World, links: frozenset[tuple[str, str]]) -> Heal:
    world.network.cut(links)
    return lambda: world.network.heal(links)


def kill_agent(scene: Scene, name: str) -> Heal:
    scene.require_commands(name)
    scene.world.cluster.kill_agent(name)
    return lambda: _resume_service(scene.world, name, AGENT)


def restart_agent(scene: Scene, name: str) -> Heal:
    kill_agent(scene, name)()
    return _nothing


def kill_etcd(scene: Scene, name: str) -> Heal:
    scene.require_commands(name)
    scene.world.node(name).kill_service(ETCD)
    return lambda: _resume_service(scene.world, name, ETCD)


def kill_all_etcd(scene: Scene, _: str) -> Heal:
    heals = [kill_etcd(scene, name) for name in scene.world.names if scene.world.takes_commands(name)]
    return lambda: _each(heals)


def etcd_takes_no_writes(scene: Scene, _: str) -> Heal:
    """It answers what it has, as when its quota is reached."""
    scene.world.set_no_space("ACTIVATE", 15)

    def heal() -> None:
        with contextlib.suppress(LabError):  # no majority: it is tried again when all is healed
            scene.world.set_no_space("DEACTIVATE", 15)

    return heal


def second_agent(scene: Scene, name: str) -> Heal:
    """As when the DaemonSet comes to a node that has the package: it must end before it touches anything."""
    scene.require_commands(name)
    node = scene.world.node(name)
    if node.run(["pgrep", "-x", "plexvold"], timeout=20).code != 0:
        raise NotNow(f"{name} has no agent")
    try:
        tried = node.run([str(BUILD / "plexvold"), "--socket=/run/second-plexvold.sock"], timeout=60)
    except CommandTimeout:
        scene.workload.broken.append(f"a second agent serves on {name}")
    else:
        scene.workload.note(f"a second agent on {name}: exit code {tried.code}: {tried.text.strip()[-200:]}")
        if tried.code == 0:
            scene.workload.broken.append(f"a second agent on {name} thinks that all is well")
    return _nothing


def _each(heals: list[Heal]) -> None:
    for heal in heals:
        heal()


def _resume_service(world: World, name: str, service: str) -> None:
    if world.takes_commands(name):  # otherwise its boot, or the healing of everything, starts it
        world.resume_service(name, service)


def pause(scene: Scene, name: str) -> Heal:
    scene.require_commands(name)
    scene.world.node(name).pause()
    return lambda: _resume(scene.world, name)


def _resume(world: World, name: str) -> None:
    if world.node(name).state == "paused":
        world.node(name).resume()


def kill_tools(scene: Scene, name: str) -> Heal:
    _catch_tools(scene, name, signal.SIGKILL, count=3)
    return _nothing


def stop_tools(scene: Scene, name: str) -> Heal:
    """Tools that hang: they go on when this is healed."""
    catcher = _catch_tools(scene, name, signal.SIGSTOP, count=2)
    return lambda: _continue_tools(scene.world, name, catcher)


def _catch_tools(scene: Scene, name: str, number: signal.Signals, count: int) -> "ToolCatcher":
    scene.require_commands(name)
    script = str(GUEST / "stop_tools.py")
    arguments = [str(int(number)), str(TOOL_SECONDS), str(count)]
    catcher = ToolCatcher(scene.world.node(name).popen(["python3", "-I", "-S", script, *arguments]))
    scene.workload.note(f"catching tools on {name} with {number.name}")
    return catcher


class ToolCatcher:
    """Collects what stop_tools.py tells, and keeps it running: a command ends when nobody holds it."""

    def __init__(self, command: Command) -> None:
        self.caught: list[str] = []
        self._command = command
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._command.kill()
        self._thread.join(5)

    def _follow(self) -> None:
        try:
            for line in self._command.lines(timeout=600):
                self.caught.append(line.split()[1])
        except LabError:
            pass  # its machine is gone, and the tools with it
        finally:
            self._command.close()


def _continue_tools(world: World, name: str, catcher: ToolCatcher) -> None:
    catcher.end()
    if world.takes_commands(name) and catcher.caught:
        world.node(name).run(["kill", "-CONT", *catcher.caught], timeout=20)


def move(scene: Scene, _: str) -> Heal:
    """The pod is wanted on the other node."""
    node = scene.world.other_replica(scene.workload.target)
    if node in scene.world.with_former_agent:
        raise NotNow(f"{node} is cordoned until its upgrade is over")
    scene.workload.move(node)
    return _nothing


def kill_pod(scene: Scene, _: str) -> Heal:
    """The pod's process dies, and its container is restarted where it was."""
    scene.workload.kill_writer()
    return _nothing


def crash_loop(scene: Scene, _: str) -> Heal:
    """A container that ends after some blocks, each time it is restarted; between that the pod has no process."""
    scene.workload.crashes = True
    scene.workload.kill_writer()

    def heal() -> None:
        scene.workload.crashes = False

    return heal


def stop_kubelet(scene: Scene, name: str) -> Heal:
    """And the container crashes meanwhile. Nobody restarts it, and nobody takes the pod away: it lives."""
    scene.world.without_kubelet.add(name)
    if name == scene.workload.primary:
        scene.workload.kill_writer()
    return lambda: scene.world.without_kubelet.discard(name)


def former_agent(scene: Scene, name: str) -> Heal:
    """In the middle of a rolling upgrade. No pod comes to the node meanwhile: what was wrong with that release's own
    pods is known."""
    build = find_released()
    if build is None:
        raise NotNow(f"{RELEASED} is not compiled")
    scene.require_commands(name)
    if name in (scene.workload.primary, scene.workload.target):
        raise NotNow(f"a pod is on {name}, or comes to it")
    scene.world.change_agent(name, build)

    def heal() -> None:
        if scene.world.takes_commands(name):
            scene.world.change_agent(name)

    return heal


def drop_caches_and_load(scene: Scene, name: str) -> Heal:
    """Memory and processor are busy with something else: everything takes its time."""
    scene.require_commands(name)
    command = scene.world.node(name).popen(["sh", "-c", "while :; do echo 3 >/proc/sys/vm/drop_caches; done"])
    return lambda: _end(command)


def _end(command: Command) -> None:
    try:
        command.kill()
        command.wait(5)
    except (CommandTimeout, LabError):
        command.close()


@dataclass(frozen=True)
class Fault:
    name: str
    make: Callable[[Scene, str], Heal]
    roles: tuple[str, ...] = ("",)  # on which node: one of these is drawn
    weight: int = 2
    lasts: bool = True  # until it is healed
    evicts: bool = False  # a control plane would often move the pod
    excuses: bool = True  # by it a pod that lives may lose its volume


_EITHER = ("primary", "primary", "secondary")  # the primary is where most can go wrong

FAULTS = [
    Fault("power-off", power_off, _EITHER, weight=6, evicts=True),
    Fault("power-off-third", power_off, ("n3",), weight=1),
    Fault("blackout", blackout, weight=2),
    Fault("cut-link", cut_link, weight=5, evicts=True),
    Fault("cut-one-way", cut_one_way, _EITHER, weight=2),
    Fault("isolate", isolate, _EITHER, weight=6, evicts=True),
    Fault("cut-all", cut_all, weight=2),
    Fault("cut-store", cut_store, _EITHER, weight=1),
    Fault("kill-agent", kill_agent, _EITHER, weight=3, evicts=True),
    Fault("restart-agent", restart_agent, _EITHER, weight=3, lasts=False),
    Fault("kill-etcd", kill_etcd, (*_EITHER, "n3"), weight=2),
    Fault("kill-all-etcd", kill_all_etcd, weight=2),
    Fault("etcd-no-space", etcd_takes_no_writes, weight=2, evicts=True),
    Fault("second-agent", second_agent, _EITHER, weight=1, lasts=False, excuses=False),
    Fault("former-agent", former_agent, ("secondary", "n3"), weight=3),
    Fault("pause", pause, _EITHER, weight=3, evicts=True),
    Fault("kill-tools", kill_tools, _EITHER, weight=2, lasts=False),
    Fault("stop-tools", stop_tools, _EITHER, weight=2),
    Fault("move", move, weight=10, lasts=False, excuses=False),
    Fault("kill-pod", kill_pod, weight=1, lasts=False, excuses=False),
    Fault("crash-loop", crash_loop, weight=3, excuses=False),
    Fault("stop-kubelet", stop_kubelet, _EITHER, weight=3, evicts=True, excuses=False),
    Fault("load", drop_caches_and_load, _EITHER, weight=1),
]


def choose(names: list[str]) -> list[Fault]:
    """The faults of these names, or all."""
    unknown = set(names) - {fault.name for fault in FAULTS}
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(f.name for f in FAULTS)}")
    return [fault for fault in FAULTS if not names or fault.name in names]
