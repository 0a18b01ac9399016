"""The steps that the model and the code share: what each is called here, and where it is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAN = "agent/reconcile/plan.h"

# Called the same in arbiter.pml.
ACTIONS = [
    "AskArbiter", "LeaveSet", "TakeOut", "PutBack", "ResumeIo", "KillUsers", "GiveUpDisk", "Disconnect", "Adjust",
    "WriteConfig", "Promote", "Demote", "ReplacePeer", "ReconnectDiscarding",
]  # fmt: skip
# In arbiter.pml, in the code, in which file.
NAMES = [
    *((action, action, PLAN) for action in ACTIONS),
    ("FinishFreeze", "plan_freeze", "agent/reconcile/plan_apart.cpp"),  # a sequence of actions: the last case there
    ("CreateBlankMetadata", "CreateMetadata", PLAN),  # of a replica that its peer fills
    ("ForceCurrent", "force_current", "agent/service/force_current.cpp"),
    ("take_out", "take_out", "agent/arbiter/arbiter.h"),
    ("take_out", "take_out_with", "agent/arbiter/arbiter.h"),  # of a set that was seen with the asker in it
    ("put_back", "put_back", "agent/arbiter/arbiter.h"),
    ("helper", "helper", "agent/service/flexvolume.cpp"),
]


def has(path: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", (ROOT / path).read_text()) is not None


def list_missing() -> list[str]:
    return [f"{word} is not in {path}" for model, code, file in NAMES
            for word, path in ((model, "tests/model/arbiter.pml"), (code, file)) if not has(path, word)]
