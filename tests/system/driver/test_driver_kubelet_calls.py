"""Replays what genuine kubelets and controller-managers called (tests/data/kubelet-calls) and checks that each answer is one
that they understand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_agent import FakeAgent, Request, error, result
from lone_driver import ROOT, Driver

CASES = sorted((ROOT / "tests" / "data" / "kubelet-calls").glob("*.jsonl"))
# The keys that Kubernetes reads, and their types (contract fact 6).
KEYS = {"status": str, "message": str, "device": str, "attached": bool, "capabilities": dict}
ANSWERS = {
    "init": "Success", "getvolumename": "Not supported", "attach": "Success", "waitforattach": "Success",
    "isattached": "Success", "detach": "Success", "mountdevice": "Failure", "mount": "Failure", "unmount": "Success",
    "unmountdevice": "Success"}


def different_calls(case: Path) -> list[list[str]]:
    """The arguments of the first calls, each kind of call with each set of options once."""
    found: list[list[str]] = []
    for line in case.read_text().splitlines()[1:]:
        arguments = json.loads(line)["argv"][1:]
        if arguments not in found:
            found.append(arguments)
    return found[:25]


def check_request(request: Request) -> None:
    if "options" in request.body:
        options = request.body["options"]
        assert options["kubernetes.io/pvOrVolumeName"]
        assert options["kubernetes.io/readwrite"] in ("rw", "ro")
        assert not [key for key in options if key.startswith("kubernetes.io/secret/")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_recorded_calls_get_answers_of_the_right_shape(driver: Driver, agent: FakeAgent, case: Path) -> None:
    # A recorded target lies in a kubelet's directory that this machine need not have, so the agent stops each mount.
    agent.answers.update({
        "/v1/attach": result({"device": "/dev/plexvol/v"}), "/v1/wait-for-attach": result({"device": "/dev/plexvol/v"}),
        "/v1/is-attached": result({"attached": True}), "/v1/detach": result({}), "/v1/unmounted": result({}),
        "/v1/mount": error("Conflict", "attached elsewhere")})
    calls = different_calls(case)
    assert calls, "a recording without a call tests nothing"
    for arguments in calls:
        moved = [move(argument, driver.directory) for argument in arguments]
        reply: dict[str, Any] = driver.run(*moved).reply
        assert reply["status"] == ANSWERS[arguments[0]], arguments
        assert all(isinstance(value, KEYS[key]) for key, value in reply.items())
        assert ("device" in reply) == (arguments[0] in ("attach", "waitforattach"))
        assert ("attached" in reply) == (arguments[0] == "isattached")
        assert ("capabilities" in reply) == (arguments[0] == "init")
    for request in agent.requests:
        check_request(request)


def move(argument: str, directory: Path) -> str:
    return str(directory) + argument if argument.startswith("/var/lib/kubelet") else argument


def test_the_recordings_are_all_there() -> None:
    assert len(CASES) >= 40 and os.path.getsize(CASES[0]) > 0
