"""One random sequence of faults: drawn from a seed, played, healed, and judged."""

import random
import time
from dataclasses import dataclass, field

from lab import LabError

from .checks import CHECKS
from .faults import FAULTS, Fault, Heal, NotNow, Scene
from .workload import Subject, Workload
from .world import SETTLE_SECONDS, World, wait_or_tell

START_SECONDS = 120
FIRST_BLOCKS = 20
# Enough for a takeover: the lease, the wait for a connection, and a mount by machines that are emulated.
TAKEOVER_SECONDS = 45.0
# How many sequences begin with the one pattern in which only the arbiter stands between two nodes that both write.
DIVIDED_CHANCE = 1 / 3
# And how many with the one in which nothing but the pod's sandbox tells that it lives. Its volume is not given away:
# so long it is waited for.
CRASHED_CHANCE = 1 / 8
ROBBED_SECONDS = 15.0


@dataclass(frozen=True)
class Gap:
    """Until the next step: so many seconds, or at most so many until a pod writes (again) where it is wanted."""

    seconds: float
    until_written: bool = False

    def __str__(self) -> str:
        return f"+{'<' if self.until_written else ''}{self.seconds}s"


@dataclass(frozen=True)
class Step:
    """A fault, or the healing of the earlier step `heals`; and what comes before the next."""

    gap: Gap
    seed: int
    fault: Fault | None = None
    role: str = ""
    heals: int = -1

    def __str__(self) -> str:
        what = f"heal {self.heals + 1}" if self.fault is None else self.fault.name
        return f"{what}{f'({self.role})' if self.role else ''} {self.gap}"


def draw(seed: int, faults: list[Fault] = FAULTS) -> list[Step]:
    """2 to 5 faults, each on top of the others or after they were healed."""
    chance = random.Random(seed)
    by_name = {fault.name: fault for fault in faults}
    move = by_name.get("move")
    isolate = by_name.get("isolate")
    stop_kubelet = by_name.get("stop-kubelet")
    # Before anything is healed, and until the other node has taken over: only then can two nodes both write.
    takeover = Gap(TAKEOVER_SECONDS, until_written=True)
    steps: list[Step] = []
    lasting: list[int] = []
    left = chance.randint(2, 5)
    if move and isolate and chance.random() < DIVIDED_CHANCE:
        steps.append(Step(_draw_gap(chance), chance.getrandbits(32), isolate, "primary"))
        steps.append(Step(takeover, chance.getrandbits(32), move))
        lasting.append(0)
        left -= 2
    elif move and stop_kubelet and chance.random() < CRASHED_CHANCE:
        steps.append(Step(Gap(0.5), chance.getrandbits(32), stop_kubelet, "primary"))
        steps.append(Step(Gap(ROBBED_SECONDS, until_written=True), chance.getrandbits(32), move))
        lasting.append(0)
        left -= 2
    while left > 0:
        fault = chance.choices(faults, [fault.weight for fault in faults])[0]
        steps.append(Step(_draw_gap(chance), chance.getrandbits(32), fault, chance.choice(fault.roles)))
        left -= 1
        if fault.lasts:
            lasting.append(len(steps) - 1)
        if fault.evicts and move and left > 0 and chance.random() < 0.5:
            steps.append(Step(takeover, chance.getrandbits(32), move))
            left -= 1
        if lasting and chance.random() < 0.4:
            healed = lasting.pop(chance.randrange(len(lasting)))
            steps.append(Step(_draw_gap(chance), chance.getrandbits(32), heals=healed))
    return steps


def _draw_gap(chance: random.Random) -> Gap:
    """At once; within the time in which DRBD notices (2 to 6 s); beyond the lease (8 s); or until it was overcome."""
    low, high = chance.choice([(0.0, 1.0), (1.0, 8.0), (8.0, 20.0), (TAKEOVER_SECONDS, TAKEOVER_SECONDS)])
    return Gap(round(chance.uniform(low, high), 1), until_written=low == TAKEOVER_SECONDS)


@dataclass
class Outcome:
    number: int
    seed: int
    steps: list[Step]
    began: float = field(default_factory=time.monotonic)
    done: list[tuple[float, str]] = field(default_factory=list)  # when, and what was really made
    made: set[str] = field(default_factory=set)  # names of the faults that could be made
    seconds: float = 0.0
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.violations

    def line(self) -> str:
        faults = ", ".join(str(step).split(" +")[0] for step in self.steps if step.fault)
        verdict = "ok" if self.passed else f"FAILED: {self.violations[0]}"
        figures = f"{self.seconds:4.0f} s  {self.acknowledged:5} blocks"
        return f"{self.number:4}  seed {self.seed}  {figures}  {faults}: {verdict}"


class Sequence:
    """`play()` once. The first one of a subject makes its volume. After a violation all stays for the evidence."""

    def __init__(self, world: World, subject: Subject, number: int, seed: int, steps: list[Step]) -> None:
        self.world = world
        self.subject = subject
        self.volume = subject.volume
        self.ledger = subject.ledger
        self.outcome = Outcome(number, seed, steps)
        chance = random.Random(seed ^ 0x5EED)
        first = chance.choice(world.replicas)
        self._last_node = chance.choice(world.replicas)
        self._acknowledged_before = self.ledger.count()
        self.workload = Workload(world, subject, first, random.Random(seed ^ 0xB0D))
        self._heals: dict[int, Heal] = {}

    def play(self) -> Outcome:
        try:
            self._play()
        except LabError as error:
            self.outcome.violations.append(f"stuck: {error}")
        except Exception as error:  # whatever it is, it is found out with the same evidence
            self.outcome.violations.append(f"{type(error).__name__}: {error}")
        self.workload.abandon()
        self.outcome.seconds = time.monotonic() - self.outcome.began
        self.outcome.acknowledged = self.ledger.count() - self._acknowledged_before
        self.outcome.violations = self.ledger.violations() + self.workload.broken + self.outcome.violations
        self.subject.failed |= not self.outcome.passed
        return self.outcome

    def _play(self) -> None:
        if self.subject.sequences == 0:
            self.world.create_volume(self.volume)
            self._did("created")
        self.subject.sequences += 1
        self.workload.start()
        self._await_writing("before the first fault", START_SECONDS, FIRST_BLOCKS)
        for index, step in enumerate(self.outcome.steps):
            self._make(index, step)
            self._spend(step.gap)
        self._did("heal everything")
        self.workload.crashes = False
        self.world.heal_all()
        self.workload.move(self._last_node)
        self._await_writing("after everything was healed", SETTLE_SECONDS, FIRST_BLOCKS)
        self.world.cluster.wait_state("n3", self.volume, "Ready", SETTLE_SECONDS)
        self._did("Ready")
        self.workload.stop(SETTLE_SECONDS)
        self.world.cluster.wait_detached("n3", self.volume)
        # So both nodes have mounted it since all was healed; that their copies are alike comes next.
        other = self.world.other_replica(self._last_node)
        self.workload.read_on(other, SETTLE_SECONDS)
        self._did(f"read on {other}")
        for check in CHECKS:
            self.outcome.violations += check(self.world, self.volume)
            self._did(check.__name__.replace("_", " "))

    def _spend(self, gap: Gap) -> None:
        if not gap.until_written:
            # Part of the sequence, not a wait for something: how far the cluster gets before the next fault.
            time.sleep(gap.seconds)
            return
        # Not those blocks that were under way when the fault came.
        before = self.workload.progress()
        deadline = time.monotonic() + gap.seconds
        while not self.workload.has_written(FIRST_BLOCKS, before) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _await_writing(self, when: str, timeout: float, blocks: int) -> None:
        before = self.workload.progress()
        wait_or_tell(
            lambda: self.workload.has_written(blocks, before),
            timeout,
            lambda: f"a pod writes to {self.volume} {when}; {self.workload.state()}",
        )
        self._did(f"writes {when}")

    def _make(self, index: int, step: Step) -> None:
        if step.fault is None:
            heal = self._heals.pop(step.heals, None)
            self._did(str(step) + (" (was not made)" if heal is None else ""))
            if heal is not None:
                heal()
            return
        scene = Scene(self.world, self.workload, random.Random(step.seed))
        node = scene.resolve(step.role)
        try:
            self._did(f"{step}{f' = {node}' if node else ''}")
            self.workload.excused |= step.fault.excuses
            self._heals[index] = step.fault.make(scene, node)
            self.outcome.made.add(step.fault.name)
        except (NotNow, LabError) as reason:  # LabError: the fault before it has left the machine too busy to obey
            self._did(f"   left out: {str(reason).splitlines()[0]}")

    def _did(self, what: str) -> None:
        self.outcome.done.append((time.monotonic(), what))
