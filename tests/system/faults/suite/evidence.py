"""Everything that tells what happened, printed after a violation."""

from collections.abc import Callable

from cluster import AGENT
from lab import LabError, Node

from .ledger import shorten
from .sequence import Sequence

LOG_LINES = 80
KERNEL_LINES = 60

_PROCESSES = r"ps -eo pid,ppid,stat,etimes,cputimes,wchan:24,args --sort=-cputimes | grep -vE '[0-9] \[.*\]$'"
# It answers this signal with the stacks of all that it is doing.
_RUNTIME = """log=%s; kill -USR1 $(pidof containerd) && sleep 2
tail -c 400000 $log | awk -v RS= '/PodSandbox|[uU]nmount|shim/' | cut -c -200 | tail -n 120""" % Node.service_log_path("containerd")


def describe(sequence: Sequence) -> str:
    outcome = sequence.outcome
    parts = [
        f"==== sequence {outcome.number}, seed {outcome.seed} (replay: PLEXVOL_FAULT_SEED={outcome.seed})",
        shorten(outcome.violations) or "no violation",
        "---- drawn",
        "\n".join(str(step) for step in outcome.steps),
        "---- done",
        tell(sequence),
        sequence.workload.state(),
        "---- acknowledged",
        sequence.ledger.summary(),
        "---- the store",
        _try(lambda: f"current/{sequence.volume}: {sequence.world.read_current(sequence.volume)}"),
        _try(lambda: str(sequence.world.cluster.volume("n3", sequence.volume))),
    ]
    for node in sequence.world.lab.nodes:
        parts += _of_node(node, sequence.volume)
    return "\n".join(parts)


def tell(sequence: Sequence) -> str:
    """The faults and what happened to the pods, in the order of time; seconds since the beginning."""
    began = sequence.outcome.began
    lines = sorted([*sequence.outcome.done, *sequence.workload.notes])
    return "\n".join(f"{at - began:6.1f} {what}" for at, what in lines)


def _of_node(node: Node, volume: str) -> list[str]:
    state = node.state
    if state != "ready":
        return [f"==== {node.name} is {state}"]
    commands = {
        f"the last {LOG_LINES} lines of its agent": ["sh", "-c", _agent_log(node)],
        "/proc/drbd": ["cat", "/proc/drbd"],
        "events2": ["drbdsetup", "events2", "--now"],
        "its kernel": ["sh", "-c", f"dmesg | grep -E 'drbd|EXT4|I/O error' | tail -n {KERNEL_LINES}"],
        "mounts": ["sh", "-c", f"grep {volume} /proc/self/mountinfo || true"],
        "its processes, and how long each has run and worked": ["sh", "-c", _PROCESSES],
        "what its container runtime waits for": ["sh", "-c", _RUNTIME],
    }
    parts = [f"==== {node.name}"]
    for what, argv in commands.items():
        parts += [f"---- {node.name}: {what}", _try(lambda argv=argv: node.run(argv, timeout=20).text)]
    return parts


def _agent_log(node: Node) -> str:
    """Without the looks that went well: they come by the hundred and say nothing."""
    looks = "(lvs|vgs|pvs) --config .*exit code 0|events2 --now.*exit code 0"
    # -a: what a power failure has cut off is full of zeros.
    return f"grep -avE '{looks}' {node.service_log_path(AGENT)} | cut -c -600 | tail -n {LOG_LINES}"


def _try(look: Callable[[], str]) -> str:
    try:
        return str(look())
    except (LabError, StopIteration, ValueError) as error:
        return f"(cannot be seen: {str(error).splitlines()[0] if str(error) else type(error).__name__})"
