"""Holds arbiter.pml against sequences.txt: the same choices under the same guards, the same actions in the same order.

The other half, that no plan of the agent does anything that is not in that table, is
tests/unit/reconcile/sequences_test.cpp.
"""

import itertools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "arbiter.pml"
TABLE = FOLDER / "sequences.txt"
ROOT = FOLDER.parents[1]

# Beside the actions: in arbiter.pml, in the code, in which file.
NAMES = [
    ("ForceCurrent", "force_current", "agent/volumes/force_current.cpp"),
    ("take_out", "take_out", "agent/arbiter/arbiter.h"),
    ("CHANGED", "take_out_with", "agent/arbiter/arbiter.h"),
    ("UseForced", "use_forced", "agent/arbiter/arbiter.h"),
    ("put_back", "put_back", "agent/arbiter/arbiter.h"),
    ("helper", "answer_drbd", "agent/volumes/drbd_helper.cpp"),
]
SAME_ACTION = {"CreateBlankMetadata": "CreateMetadata"}

# The table's words in the model's, of the node `me`.
WORDS = {
    "primary": "pri[me]",
    "in": "here",
    "peer-in": "other",
    "connected": "connected",
    "frozen": "frozen[me]",
    "apart": "apart[me]",
    "own=good": "disk[me] == 1",
    "own=none": "disk[me] == 0",
    "peer=good": "disk[peer] == 1",
    "peer-primary": "pri[peer]",
    "chosen": "may_attach[me]",
    "unmade": "unmade[me]",
    "former": "(me == 1 and store_peer == 2)",
    "peer-replaced": "(me == 0 and store_peer == 2 and (file_peer == 1 or kernel_peer == 1))",
}


@dataclass
class Row:
    label: str
    family: str
    guard: str
    actions: list[str]


def read_table() -> list[Row]:
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    # A guard may hold "|" as well.
    rows = [re.fullmatch(r"(\S+) \| (\S*) ?\| (.+) \| (.+)", line) for line in lines]
    assert all(rows), "a line of sequences.txt cannot be read"
    return [Row(row[1], row[2], row[3], row[4].split()) for row in rows if row]


def preprocess(family: str) -> str:
    command = ["gcc", "-E", "-P", "-xc", "-w", f"-D{family}", "-DATTACHES=1", str(MODEL)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"\s+", " ", text)


def find_choices(agent: str) -> dict[str, str]:
    """The guard of each label that the agent may go to when it has looked."""
    plan = agent[: agent.index(" put_back_peer:")]
    choices = {}
    for choice in plan.split("::"):
        if goto := re.search(r"goto (\w+)", choice):
            choices[goto[1]] = choice.split("->")[0]
    return choices


def find_sequence(agent: str, label: str, actions: set[str]) -> list[str]:
    """What is done from this label on, until the pass is over whatever happens."""
    begin = re.search(rf"[; ]{label}:", agent)
    assert begin, label
    rest = agent[begin.end():]
    end = re.search(r"goto over } :: atomic { true -> goto over } fi;", rest)
    assert end, label
    words: list[str] = re.findall(r"\b([A-Z]\w+) ?\(", rest[: end.end()])
    names = [word.split("_")[0] for word in words]
    return [SAME_ACTION.get(name, name) for name in names if SAME_ACTION.get(name, name) in actions]


def to_python(guard: str) -> str:
    guard = guard.replace("&&", " and ").replace("||", " or ")
    return re.sub(r"!(?!=)", " not ", guard).strip()


def translate(guard: str) -> str:
    words = re.findall(r"[a-z][a-z=-]*|[&|!()]", guard)
    operators = {"&": "and", "|": "or", "!": "not", "(": "(", ")": ")"}
    return " ".join(operators.get(word) or f"({WORDS[word]})" for word in words)


def list_states(family: str) -> Iterator[dict[str, object]]:
    both = (False, True)
    nodes = (0, 1) if family == "MOVE" else (0,)
    disks = range(4)
    flags = itertools.product(both, repeat=9)
    for (primary, peer_primary, here, other, conn, frozen, apart, chosen, unmade), own, theirs, me in itertools.product(
        flags, disks, disks, nodes
    ):
        peer = 1 - me
        yield {
            "me": me, "peer": peer, "here": here, "other": other, "conn": conn, "connected": conn,
            "pri": at(me, primary, peer_primary), "frozen": at(me, frozen, False), "apart": at(me, apart, False),
            "disk": at(me, own, theirs), "may_attach": at(me, chosen, False), "unmade": at(me, unmade, False),
            "question": [0, 0], "attaches": 0, "kernel_peer": 1, "file_peer": 1, "store_peer": 2,
        }  # fmt: skip


def at(me: int, own: object, others: object) -> list[object]:
    return [own, others] if me == 0 else [others, own]


def differs(row: Row, guard: str) -> str:
    """A state that only one of the two allows; "" when there is none."""
    model, table = compile(to_python(guard), "model", "eval"), compile(translate(row.guard), "table", "eval")
    for state in list_states(row.family):
        # Of a copy that is to be made again the model's guards say nothing but in remake's own.
        if "unmade" not in row.guard and state["unmade"] != [False, False]:
            continue
        scope = {"true": True, "false": False, **state}
        if bool(eval(model, {}, scope)) != bool(eval(table, {}, scope)):  # noqa: S307  (our own two texts)
            return ", ".join(f"{name}={value}" for name, value in state.items())
    return ""


def check_row(row: Row, agent: str, actions: set[str]) -> Iterator[str]:
    guard = find_choices(agent).get(row.label)
    if guard is None:
        yield f"{row.label} is not in arbiter.pml with {row.family}"
        return
    if state := differs(row, guard):
        yield f"the guard of {row.label} is another in arbiter.pml: {state}"
    planned = [action.rstrip("*") for action in row.actions]
    if (found := find_sequence(agent, row.label, actions)) != planned:
        yield f"{row.label} in arbiter.pml does {' '.join(found)}, not {' '.join(planned)}"


def compares(action: str, text: str) -> bool:
    inline = re.search(rf"inline {action}\(n\) {{(.*?)inline ", text)
    return inline is not None and ("fresh[n]" in inline[1] or "put_back(" in inline[1])


def has(path: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", (ROOT / path).read_text()) is not None


def list_differences() -> list[str]:
    rows = read_table()
    actions = {action.rstrip("*") for row in rows for action in row.actions}
    texts = {family: preprocess(family) for family in {row.family for row in rows if row.family}}
    agents = {
        family: text[text.index("proctype agent"): text.index("proctype helper")] for family, text in texts.items()
    }
    differences = [
        f"{word} is not in {path}"
        for model, code, file in NAMES
        for word, path in ((model, "tests/model/arbiter.pml"), (code, file))
        if not has(path, word)
    ]
    for row in rows:
        if row.label == "-":
            continue
        differences += check_row(row, agents[row.family], actions)
        differences += [
            f"{action} of {row.label} does not compare in arbiter.pml"
            for action in row.actions
            if action.endswith("*") and not compares(action[:-1], texts[row.family])
        ]
    known = {row.label for row in rows}
    for family, agent in agents.items():
        differences += [f"{label} is not in sequences.txt" for label in find_choices(agent)
                        if label not in known | {"over"}]  # fmt: skip
    return differences
