"""What genuine kubelets and controller-managers called, in their order, against a real agent: each call must end so that
they get what they wanted, and nothing may be left at the end."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from plexvol_host import NODE, Host

RECORDINGS = Path(__file__).resolve().parents[3] / "tests" / "data" / "kubelet-calls"
KUBELET = "/var/lib/kubelet"
SIZE = "32Mi"


@functools.cache
def records(case: Path) -> list[dict[str, Any]]:
    """The first line tells what the case is about."""
    return [json.loads(line) for line in case.read_text().splitlines()[1:]]


def calls_of(case: Path) -> list[list[str]]:
    return [call["argv"][1:] for call in records(case)]


def answers_of(case: Path) -> set[str]:
    """What the recorded driver said, where it said anything else than a healthy driver does."""
    odd = set()
    for call in records(case):
        verb, reply = call["argv"][1], call.get("reply")
        status = reply.get("status") if isinstance(reply, dict) else None
        # Without a mount of its own, a driver leaves that to the kubelet; and none of them needs getvolumename.
        if status != "Success" and not (status == "Not supported" and verb in ("mount", "unmount", "expandfs")):
            odd.add(verb)
    return odd - {"getvolumename"}


def one_by_one(case: Path) -> bool:
    """The dangers of calls that overlap have tests of their own."""
    end = 0.0
    for call in records(case):
        if call["at"] < end - 1:
            return False
        end = max(end, call["at"] + (call["dur"] or 0))
    return True


def lets_go(calls: list[list[str]]) -> bool:
    """Every pod that was given the volume has left before it is unmounted from the node."""
    pods: set[str] = set()
    for verb, *rest in calls:
        if verb == "mount":
            pods.add(rest[0])
        elif verb == "unmount":
            pods.discard(rest[0])
        elif verb in ("unmountdevice", "detach") and pods:
            return False
    return True


# The others are recordings of a driver, a node or a controller-manager that fails: their calls are replayed against an
# agent that answers as theirs did (tests/system/driver).
CASES = [
    case
    for case in sorted(RECORDINGS.glob("*.jsonl"))
    if not answers_of(case)
    and one_by_one(case)
    and lets_go(calls_of(case))
    and any(call[0] in ("mount", "mountdevice") for call in calls_of(case))
]


class Replay:
    def __init__(self, host: Host, calls: list[list[str]]) -> None:
        self._host = host
        self._driver = host.attaching if any(call[0] == "attach" for call in calls) else host.mounting
        self._devices: dict[str, str] = {}  # by volume: what attach answered
        self._pods: set[Path] = set()

    def options(self, text: str) -> str:
        """The volume's own options are ours: theirs were another driver's."""
        recorded = json.loads(text)
        kubelets = {key: value for key, value in recorded.items() if key.startswith("kubernetes.io/")}
        return json.dumps({**kubelets, "size": SIZE})

    @staticmethod
    def name(text: str) -> str:
        return str(json.loads(text)["kubernetes.io/pvOrVolumeName"])

    def folder(self, recorded: str, make: bool) -> Path:
        folder = self._host.directory / "kubelet" / Path(recorded).relative_to(KUBELET)
        if make:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)  # as the kubelet does before it calls
        return folder

    def make(self, verb: str, *rest: str) -> None:
        call = getattr(self, "_" + verb, None)
        assert call is not None, f"a call that no recording had before: {verb}"
        call(*rest)

    def _init(self) -> None:
        assert self._driver.must("init").json["capabilities"]["attach"] is (self._driver is self._host.attaching)

    def _getvolumename(self, options: str) -> None:
        assert self._driver.call("getvolumename", self.options(options)).json["status"] == "Not supported"

    def _attach(self, options: str, _node: str) -> None:
        device = self._driver.must("attach", self.options(options), NODE).json["device"]
        assert self._devices.setdefault(self.name(options), device) == device

    def _waitforattach(self, _device: str, options: str) -> None:
        device = self._devices.get(self.name(options), "")
        assert self._driver.must("waitforattach", device, self.options(options)).json["device"] == device

    def _isattached(self, options: str, _node: str) -> None:
        reply: dict[str, Any] = self._driver.must("isattached", self.options(options), NODE).json
        assert reply["attached"] is (self.name(options) in self._devices)  # some asked for another recording's

    def _mountdevice(self, folder: str, _device: str, options: str) -> None:
        device = self._devices[self.name(options)]
        self._driver.must("mountdevice", self.folder(folder, make=True), device, self.options(options))

    def _mount(self, folder: str, options: str) -> None:
        pod = self.folder(folder, make=True)
        self._driver.must("mount", pod, self.options(options))
        self._pods.add(pod)
        assert str(pod) in self._host.mounts()

    def _unmount(self, folder: str) -> None:
        pod = self.folder(folder, make=False)
        self._driver.must("unmount", pod)
        self._pods.discard(pod)
        assert str(pod) not in self._host.mounts()

    def _unmountdevice(self, folder: str) -> None:
        self._driver.must("unmountdevice", self.folder(folder, make=False))

    def _detach(self, name: str, _node: str) -> None:
        self._driver.must("detach", name, NODE)
        self._devices.pop(name, None)

    def end(self) -> None:
        """What was still there when the recording ended."""
        for pod in self._pods:
            self._driver.must("unmount", pod)
        for mount in self._host.mounts():
            self._driver.must("unmountdevice", mount)
        for name in self._devices:
            self._driver.must("detach", name, NODE)


def test_there_are_many_recordings_of_healthy_drivers() -> None:
    assert len(CASES) >= 25


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_recorded_calls_get_what_they_want_of_a_real_agent(host: Host, case: Path) -> None:
    calls = calls_of(case)
    replay = Replay(host, calls)
    for arguments in calls:
        replay.make(*arguments)
    replay.end()
    for name in host.volumes():
        host.wait_detached(name)
        assert host.plexvol("volume", "delete", name).returncode == 0
    assert host.mounts() == [] and host.volumes() == []
