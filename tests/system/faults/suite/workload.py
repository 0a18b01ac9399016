"""A pod with the volume, and the kubelets and the controller that keep it running on the node it should be on.

As in Kubernetes: the pod's process is killed and its volume unmounted by the old node's kubelet, if that can be
reached; if not, or if it takes too long, somebody forces the pod's deletion and it is started on the other node while
the old process may still run. A kubelet calls `mount` again and again until it succeeds; from then on it only restarts
the pod's container where its process has ended, on whatever lies in the pod's directory by then, and calls nothing.
That goes on where the control plane does not reach it. A pod lives while it has a process or a sandbox: whoever gets
its volume meanwhile, although nothing has befallen its node, must not.
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import blocks
from cluster import options
from lab import Command, CommandTimeout, LabError, MachineLost, wait_until

from .ledger import Ledger, Scan
from .pod import Pod
from .world import CALL_SECONDS, World, wait_or_tell

SCAN_SECONDS = 90
# How long a pod may be Terminating on a node that can be reached before its deletion is forced.
FORCE_AFTER = 25.0
RETRY_SECONDS = 0.5
# A container that has not begun to write: the kubelet waits longer each time, until somebody deletes the pod.
BACK_OFF_SECONDS = 2.0
MOST_RESTARTS = 4
# client-go waits up to 30 s before it tries again.
ASKS_AGAIN_SECONDS = 30.0
# One that crashes again and again: so much it writes, and so long it has no process then.
CRASHES_AFTER = 60
CRASHED_SECONDS = 4.0
LOST_POWER = "its machine lost its power"


@dataclass
class Subject:
    """A volume and all that was ever promised about it. One sequence may follow another on the same volume."""

    volume: str
    ledger: Ledger = field(default_factory=Ledger)
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    sequences: int = 0
    failed: bool = False


class Workload:
    """`start()`, then `move(node)` at any time; `stop()` takes the pod away and says where something is left."""

    def __init__(self, world: World, subject: Subject, node: str, chance: Random) -> None:
        self.world = world
        self.volume = subject.volume
        self.ledger = subject.ledger
        self.target = node
        self.notes: list[tuple[float, str]] = []  # when, and what happened to the pods, for the evidence
        self.broken: list[str] = []  # what nobody may do: answers that no kubelet could read, a pod without its volume
        self.last_refusal = ""
        self.crashes = False  # the container of every pod, again and again
        self.excused = False  # something has happened by which a living pod may lose its volume
        self._chance = chance
        self._subject = subject
        self._candidate: Pod | None = None
        self._running: Pod | None = None
        self._leaving: list[Pod] = []
        self._stopping = threading.Event()
        self._wanted = True
        self._thread = threading.Thread(target=self._run, daemon=True, name="workload")

    def start(self) -> None:
        self._thread.start()

    @property
    def primary(self) -> str:
        """The node of the pod, or where it is wanted while there is none."""
        running = self._running
        return running.node if running is not None else self.target

    def move(self, node: str) -> None:
        self.target = node

    def kill_writer(self) -> None:
        running = self._running
        if running is not None and running.pid and self.world.takes_commands(running.node):
            self.world.node(running.node).run(["kill", "-KILL", str(running.pid)], timeout=20)

    def progress(self) -> tuple[int, int]:
        """The writer that runs where it should, and how much it has acknowledged; (0, 0) when none does."""
        running = self._running
        if running is None or running.node != self.target or running.ended.is_set():
            return (0, 0)
        return (running.generation, self.ledger.count(running.generation))

    def has_written(self, blocks: int, since: tuple[int, int]) -> bool:
        """Whether the writer that runs has acknowledged so many blocks since that `progress`."""
        generation, count = self.progress()
        return generation > 0 and count - (since[1] if generation == since[0] else 0) >= blocks

    def stop(self, timeout: float) -> None:
        """Deletes the pod and waits until nothing of it is left on any node."""
        self._wanted = False
        wait_or_tell(
            lambda: not (self._running or self._candidate or self._leaving),
            timeout,
            lambda: f"all pods of {self.volume} end; {self.state()}",
        )
        self.abandon()

    def abandon(self) -> None:
        """Ends the controller, if it was ever started, and leaves everything where it is."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(CALL_SECONDS + 60)

    def state(self) -> str:
        pods = [("candidate", self._candidate), ("running", self._running)]
        pods += [("leaving", pod) for pod in self._leaving]
        texts = [
            f"{word} on {pod.node}, writer {pod.generation or 'none'}" + (f" ended: {pod.how}" if pod.how else "")
            for word, pod in pods
            if pod is not None
        ]
        return f"wanted on {self.target}: {'; '.join(texts) or 'no pods'}; last refusal: {self.last_refusal or 'none'}"

    def read_on(self, node: str, timeout: float) -> int:
        """Mounts the volume on a node, reads all blocks into the ledger, and unmounts: the number of blocks."""
        pod = Pod.on(node, self.volume, self._chance)
        wait_until(lambda: self._mounts(pod), timeout, f"{self.volume} can be mounted on {node}", RETRY_SECONDS)
        scan = self._start_writer(pod, count=0)
        if not pod.ended.wait(SCAN_SECONDS) or not scan.complete:
            raise LabError(f"{node}: reading {self.volume} back: {pod.how or 'does not end'}")
        self.world.cluster.driver(node).must("unmount", pod.directory, timeout=CALL_SECONDS + 30)
        pod.clear(self.world.node(node))
        self.world.cluster.wait_detached("n3", self.volume)
        return len(scan.found)

    def note(self, text: str) -> None:
        self.notes.append((time.monotonic(), "       " + text))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except LabError as error:
                self.note(f"the control plane: {str(error).splitlines()[0]}")
            except ValueError as error:  # not one JSON object
                self.broken.append(f"the driver's answer: {error}")
            self._stopping.wait(RETRY_SECONDS)  # as a kubelet's loop does; ends at once when we are to stop

    def _step(self) -> None:
        for pod in [self._candidate, self._running]:
            if pod is None:
                continue
            if not self._wanted or pod.node != self.target or self._is_given_up(pod):
                self._let_go(pod)
            elif pod.ended.is_set():
                self._restart_container(pod)
        for pod in list(self._leaving):
            if pod.gone:
                self._leaving.remove(pod)
            elif not self._knows_of_deletion(pod):
                if pod.ended.is_set() and not pod.dying and not self._is_given_up(pod):
                    self._restart_container(pod)
            elif pod.kubelet is None or not pod.kubelet.is_alive():
                pod.kubelet = threading.Thread(target=self._terminate, args=(pod,), daemon=True)
                pod.kubelet.start()
        if self._wanted and self._running is None and self._may_start():
            self._try_to_start()

    def _knows_of_deletion(self, pod: Pod) -> bool:
        """A kubelet that could not be reached takes a while to ask again."""
        now = time.monotonic()
        if not self.world.kubelet_reachable(pod.node):
            pod.knows_at, pod.was_cut_off = 0.0, True
            return False
        if pod.knows_at == 0.0:
            pod.knows_at = now + (self._chance.uniform(0, ASKS_AGAIN_SECONDS) if pod.was_cut_off else 0)
        return now >= pod.knows_at

    @staticmethod
    def _is_given_up(pod: Pod) -> bool:
        """After a reboot a kubelet mounts anew, as for another pod; one that never begins somebody deletes."""
        return pod.ended.is_set() and (pod.how == LOST_POWER or pod.failures > MOST_RESTARTS)

    def _restart_container(self, pod: Pod) -> None:
        """Containers run whether the control plane is reached or not. What runs in one does not ask whether its
        directory is a mount point."""
        now = time.monotonic()
        if pod.restart_at == 0.0:
            pod.failures = 0 if pod.began.is_set() else pod.failures + 1
            crashed = CRASHED_SECONDS if self.crashes else 0.0
            pod.restart_at = now + pod.failures * BACK_OFF_SECONDS + crashed
        if now < pod.restart_at or not self.world.has_kubelet(pod.node):
            return
        self.note(f"the container of the pod on {pod.node} is restarted: {pod.how}")
        pod.restart_at, pod.how, pod.pid = 0.0, "", 0
        pod.began.clear()
        pod.ended.clear()
        self._start_writer(pod, count=self._blocks_to_write())

    def _let_go(self, pod: Pod) -> None:
        pod.leaving_since = time.monotonic()
        self._leaving.append(pod)
        if pod is self._candidate:
            self._candidate = None
        else:
            self.note(f"the pod on {pod.node} (writer {pod.generation}) goes: {pod.how or 'moved or deleted'}")
            self._running = None

    def _may_start(self) -> bool:
        """Never two pods with the volume on one node; on two nodes when the old one cannot be told, or does not go."""
        now = time.monotonic()
        for pod in self._leaving:
            reachable = self.world.kubelet_reachable(pod.node)
            if pod.node == self.target or (reachable and now - pod.leaving_since < FORCE_AFTER):
                return False
        return self.world.has_kubelet(self.target)

    def _try_to_start(self) -> None:
        pod = self._candidate or Pod.on(self.target, self.volume, self._chance)
        self._candidate = pod
        if not pod.mounted:
            if not self._mounts(pod):
                return
            self._look_for_robbed(pod)
        pod.make_sandbox(self.world.node(pod.node))
        self._running = pod
        self._candidate = None
        self._start_writer(pod, count=self._blocks_to_write())
        self.note(f"the pod on {pod.node} starts (writer {pod.generation}, {pod.kind})")

    def _blocks_to_write(self) -> int:
        return CRASHES_AFTER if self.crashes else -1

    def _look_for_robbed(self, pod: Pod) -> None:
        for other in self._leaving:
            if other.lives and not self.excused:
                self.broken.append(
                    f"{pod.node} was given the volume of a pod on {other.node} that lives (writer {other.generation})"
                )

    def _mounts(self, pod: Pod) -> bool:
        # Kubelets have no time limit; the driver ends every call itself.
        reply = self.world.cluster.driver(pod.node).call(
            "mount", pod.directory, options(self.volume), timeout=CALL_SECONDS + 30
        )
        pod.mounted = reply.succeeded
        if not reply.succeeded:
            if reply.message != self.last_refusal:
                self.note(f"mount on {pod.node} refused: {reply.message}")
            self.last_refusal = reply.message
        return reply.succeeded

    def _start_writer(self, pod: Pod, count: int) -> Scan:
        pod.generation = next(self._subject.generations)
        scan = self.ledger.begin_scan(pod.generation, pod.node)
        try:
            writer = pod.start_container(self.world.node(pod.node), self.volume, count)
        except LabError as error:
            pod.how = str(error)
            pod.ended.set()
            return scan
        threading.Thread(target=self._follow, args=(pod, writer, scan), daemon=True).start()
        return scan

    def _follow(self, pod: Pod, writer: Command, scan: Scan) -> None:
        """Takes the writer's lines for as long as it lives. What its machine sent before it died still counts."""
        try:
            while True:
                try:
                    line = writer.line(timeout=5)
                except CommandTimeout:
                    continue  # it hangs: frozen, or its machine is paused
                if line is None:
                    said = writer.stderr.decode(errors="replace")[-300:].strip()
                    pod.how = pod.how or f"exit code {writer.code} {said}".strip()
                    return
                self._take_line(pod, scan, line.split())
        except MachineLost:
            pod.how = LOST_POWER
        finally:
            writer.close()
            pod.ended.set()

    def _take_line(self, pod: Pod, scan: Scan, words: list[str]) -> None:
        match words:
            case ["pid", pid]:
                pod.pid = int(pid)
            case ["made"]:
                self.ledger.made(pod.generation, pod.node)
            case ["found", mode, slot, "garbage"]:
                scan.found[mode, int(slot)] = None
            case ["found", mode, slot, generation, sequence]:
                scan.found[mode, int(slot)] = (int(generation), int(sequence))
            case ["begin"]:
                scan.complete = True
                pod.began.set()
            case ["ack", sequence, mode, offset, checksum]:
                stamp = (pod.generation, int(sequence))
                place = (mode, int(offset) // blocks.SIZE)
                if int(checksum) != blocks.checksum(blocks.encode(self.volume, *place, *stamp)):
                    self.broken.append(f"block {stamp} has another checksum than it should: {checksum}")
                self.ledger.acknowledge(place, stamp, pod.node)
            case ["error", what, number]:
                pod.how = f"{what} error {number}"
                self.note(f"writer {pod.generation} on {pod.node} ends: {pod.how}")
            case _:
                self.broken.append(f"the writer said: {json.dumps(words)}")

    def _terminate(self, pod: Pod) -> None:
        """What a kubelet does for a deleted pod: one try."""
        node = self.world.node(pod.node)
        try:
            if not pod.end_container(node):
                return
            reply = self.world.cluster.driver(pod.node).call("unmount", pod.directory, timeout=CALL_SECONDS + 30)
            if reply.succeeded:
                pod.clear(node)
                pod.gone = True
            else:
                self.note(f"unmount on {pod.node} refused: {reply.message}")
        except LabError as error:
            self.note(f"the kubelet of {pod.node}: {str(error).splitlines()[0]}")
        except ValueError as error:
            self.broken.append(f"the driver's answer: {error}")
