"""A recording, replayed: its callers, with the real driver and agent in the place of the recorded driver.

Where that one failed, its callers came again, called what they otherwise would not, or gave up midway. Ours is healthy,
so what has all it needs must succeed, and everything else must be answered so that the caller knows where it stands.
"""

import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from plexvol_host import NODE, Host, Reply
from recording import Call, Recording

KUBELET = "/var/lib/kubelet"
RECORDED_NODE = "node1"  # the one with a kubelet
SIZE = "32Mi"
# What Kubernetes 1.12 decodes an answer into (pkg/volume/flexvolume/driver-call.go): another type is an error.
# What it does not know it leaves alone.
FIELDS = {"status": str, "message": str, "device": str, "volumeName": str, "attached": bool, "capabilities": dict}


def check_types(reply: dict[str, Any]) -> None:
    for key, value in reply.items():
        assert type(value) is FIELDS.get(key, type(value)), f"{key} in {reply}"
    for key, value in reply.get("capabilities", {}).items():
        assert type(value) is bool, f"{key} in {reply}"


class Replay:
    def __init__(self, host: Host, recording: Recording) -> None:
        self._host = host
        self._recording = recording
        self._driver = host.attaching if recording.attaches else host.mounting
        self._devices: dict[str, str] = {}  # by volume: what attach answered

    def play(self) -> None:
        """One call after the other; what is owed to the caller is known at each."""
        for call in self._recording.calls:
            self._judge(call, self._make(call))

    def play_overlapping(self) -> None:
        """Each begins as soon as those have ended that had ended when it began: as much at once as there was then."""
        done: list[Future[Reply]] = []

        def make(index: int) -> Reply:
            wait([done[i] for i in self._recording.before(index)])
            call = self._recording.calls[index]
            reply = self._make(call)
            if call.verb == "attach" and reply.succeeded:
                self._devices[self._volume(call.argv[1])] = reply.json["device"]
            return reply

        with ThreadPoolExecutor(len(self._recording.calls)) as threads:
            for index in range(len(self._recording.calls)):
                done.append(threads.submit(make, index))
        for future in done:
            future.result()

    def end(self) -> None:
        """What is still there when the recording ends goes as its callers would take it away, and all of it can."""
        mounts = self._host.mounts()
        for mount in [m for m in mounts if "/pods/" in m]:
            self._driver.must("unmount", mount)
        for mount in [m for m in mounts if "/pods/" not in m]:
            self._driver.must("unmountdevice", mount)
        for name in self._host.volumes():
            if self._recording.attaches:
                self._driver.must("detach", name, NODE)
            self._host.wait_detached(name)
            assert self._host.plexvol("volume", "delete", name).returncode == 0
        assert self._host.mounts() == [] and self._host.volumes() == []

    def _make(self, call: Call) -> Reply:
        """The call as recorded, but with our own node, folders, devices and options."""
        verb, *rest = call.argv
        match verb:
            case "init":
                words: list[str | Path] = []
            case "getvolumename":
                words = [self._options(rest[0])]
            case "attach" | "isattached":
                words = [self._options(rest[0]), self._node(rest[1])]
            case "waitforattach":
                words = [self._devices.get(self._volume(rest[1]), rest[0]), self._options(rest[1])]
            case "mountdevice":
                device = self._devices.get(self._volume(rest[2]), rest[1])
                words = [self._folder(rest[0], make=True), device, self._options(rest[2])]
            case "mount":
                words = [self._folder(rest[0], make=True), self._options(rest[1])]
            case "unmount" | "unmountdevice":
                words = [self._folder(rest[0], make=False)]
            case "detach":
                words = [rest[0], self._node(rest[1])]
            case _:
                raise AssertionError(f"a call that no recording had before: {verb}")
        reply = self._driver.call(verb, *words)
        check_types(reply.json)
        return reply

    def _judge(self, call: Call, reply: Reply) -> None:
        """Against what the calls before it have brought about."""
        verb, *rest = call.argv
        elsewhere = verb in ("attach", "detach", "isattached") and rest[1] != RECORDED_NODE
        if verb == "init":
            assert reply.json["capabilities"]["attach"] is self._recording.attaches
        elif verb == "getvolumename":
            assert reply.json["status"] == "Not supported"
        elif elsewhere:
            assert verb != "attach" or not reply.succeeded, f"{call.argv}: there is no such node: {reply.json}"
        elif verb == "attach":
            device = self._must(call, reply)["device"]
            assert self._devices.setdefault(self._volume(rest[0]), device) == device
        elif verb == "isattached":
            assert self._must(call, reply)["attached"] is (self._volume(rest[0]) in self._devices)
        elif verb == "waitforattach":
            self._needs_attached(call, reply, self._volume(rest[1]), answers_device=True)
        elif verb == "mountdevice":
            name = self._volume(rest[2])
            if self._needs_attached(call, reply, name):
                assert str(self._folder(rest[0], make=False)) in self._host.mounts()
        elif verb == "mount":
            name = self._volume(rest[1])
            if not self._recording.attaches:
                self._must(call, reply)
            if not self._recording.attaches or self._needs_attached(call, reply, name):
                assert str(self._folder(rest[0], make=False)) in self._host.mounts()
        elif verb == "unmount":
            self._must(call, reply)
            assert str(self._folder(rest[0], make=False)) not in self._host.mounts()
        elif verb == "unmountdevice":
            self._must(call, reply)  # a pod that still has it has a mount of its own
            assert str(self._folder(rest[0], make=False)) not in self._host.mounts()
        elif verb == "detach":
            # Mounts that no process uses are left over: they go with it.
            self._must(call, reply)
            self._devices.pop(rest[0], None)
            assert not [mount for mount in self._host.mounts() if Path(mount).name == rest[0]]

    @staticmethod
    def _must(call: Call, reply: Reply) -> dict[str, Any]:
        assert reply.succeeded, f"{call.argv}: {reply.json}"
        return reply.json

    def _needs_attached(self, call: Call, reply: Reply, name: str, answers_device: bool = False) -> bool:
        if name not in self._devices:
            assert not reply.succeeded, f"{call.argv}: it is attached nowhere: {reply.json}"
            return False
        device = self._must(call, reply).get("device")
        assert not answers_device or device == self._devices[name]
        return True

    @staticmethod
    def _options(text: str) -> str:
        """The volume's own options are ours: theirs were another driver's."""
        kubelets = {key: value for key, value in json.loads(text).items() if key.startswith("kubernetes.io/")}
        return json.dumps({**kubelets, "size": SIZE})

    @staticmethod
    def _volume(options: str) -> str:
        return str(json.loads(options)["kubernetes.io/pvOrVolumeName"])

    @staticmethod
    def _node(recorded: str) -> str:
        return NODE if recorded == RECORDED_NODE else recorded

    def _folder(self, recorded: str, make: bool) -> Path:
        folder = self._host.directory / "kubelet" / Path(recorded).relative_to(KUBELET)
        if make:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)  # as the kubelet does before it calls
        return folder
