"""One node with the real driver and the real agent: a `file` pool, the embedded store, and two kubelet's drivers.

Host.call() and its kin look at every answer as the kubelet does, and refuse what the kubelet would choke on.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isolated import Machine
from lab import wait_until

BUILD = Path(__file__).resolve().parents[3] / os.environ.get("PLEXVOL_BUILD", "build")
NODE = "n1"
STATUSES = {"Success": 0, "Failure": 1, "Not supported": 1}
# What a kubelet would never send twice in a test: long enough for mkfs on a busy machine, short enough to end a test.
TIMEOUT_SECONDS = 100
SANITIZER_WORDS = ("Sanitizer", "runtime error:")


class CallFailed(Exception):
    """A FlexVolume call was answered with Failure."""


@dataclass(frozen=True)
class Reply:
    """What a caller of the driver sees."""

    code: int
    json: dict[str, Any]
    seconds: float

    @property
    def succeeded(self) -> bool:
        return bool(self.json["status"] == "Success")

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))


def read_reply(arguments: tuple[str, ...], code: int, output: str, seconds: float) -> Reply:
    """Holds the answer against the contract: one JSON object on both streams together, a legal status, its exit status."""
    reply = json.loads(output)
    assert isinstance(reply, dict), f"{arguments}: no object: {output}"
    assert reply.get("status") in STATUSES, f"{arguments}: no status of FlexVolume's: {output}"
    assert code == STATUSES[reply["status"]], f"{arguments}: exit status {code} with {output}"
    if reply["status"] == "Failure":
        assert reply.get("message"), f"{arguments}: a failure without a reason: {output}"
        assert "\n" not in reply["message"], f"{arguments}: more than one line: {output}"
    return Reply(code, reply, seconds)


class Call:
    """A call that is under way."""

    def __init__(self, machine: Machine, argv: list[str]) -> None:
        self.arguments = tuple(argv[1:])
        self._machine = machine
        self._started = time.monotonic()
        self._process = machine.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        return self._machine.started_by(self._process)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout: float = 120) -> Reply:
        output, _ = self._process.communicate(timeout=timeout)
        return read_reply(self.arguments, self._process.returncode, output, time.monotonic() - self._started)

    def pause(self) -> bool:
        """Held where it is. False: it has ended."""
        return self._machine.pause(self._process)

    def resume(self) -> None:
        self._machine.resume(self._process)

    def kill(self, number: int) -> int:
        """Answers the exit status as Python tells it: -SIGNAL."""
        os.kill(self.pid, number)
        self._process.communicate(timeout=30)
        return self._process.returncode

    def orphan(self) -> int:
        """Its caller dies: nobody reads what it says. Answers its pid."""
        pid = self.pid
        self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait()
        return pid


class Driver:
    """The executable in its own directory, with a settings file beside it."""

    def __init__(self, host: "Host", vendor: str, *, attach: bool, timeout_seconds: int) -> None:
        self._host = host
        folder = host.directory / f"{vendor}~plexvol"
        folder.mkdir()
        self.path = folder / "plexvol"
        shutil.copy(BUILD / "plexvol", self.path)
        settings = {"socket": str(host.socket), "timeout_seconds": timeout_seconds, "attach": attach}
        (folder / ".plexvol.json").write_text(json.dumps(settings))

    def start(self, *arguments: str | Path) -> Call:
        return Call(self._host.machine, [str(self.path), *map(str, arguments)])

    def call(self, *arguments: str | Path) -> Reply:
        return self.start(*arguments).wait()

    def must(self, *arguments: str | Path) -> Reply:
        reply = self.call(*arguments)
        if not reply.succeeded:
            raise CallFailed(f"{arguments}: {reply.message}")
        return reply

    def refused(self, *arguments: str | Path, naming: str | tuple[str, ...]) -> Reply:
        """Failure, with these words in its message."""
        reply = self.call(*arguments)
        assert reply.json["status"] == "Failure", f"{arguments}: {reply.json}"
        for word in (naming,) if isinstance(naming, str) else naming:
            assert word in reply.message, f"{arguments}: {reply.message!r} does not say {word!r}"
        return reply


class UnixConnection(http.client.HTTPConnection):
    """To the agent, by hand."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))

    def post(self, call: str, body: dict[str, Any], timeout_ms: int = 60_000) -> dict[str, Any]:
        headers = {"Plexvol-Protocol": "1", "Plexvol-Timeout-Ms": str(timeout_ms)}
        self.request("POST", f"/v1/{call}", json.dumps(body), headers)
        reply = json.loads(self.getresponse().read())
        assert isinstance(reply, dict)
        return reply


class Host:
    """A machine with an agent. Everything of it lies in one directory, for short enough that sockets fit."""

    def __init__(self, **settings: Any) -> None:
        """`settings`: of the agent, beside or instead of the usual ones."""
        self.directory = Path(tempfile.mkdtemp(prefix="px-"))
        self.pool = self.directory / "pool"
        self.devices = self.directory / "dev"
        self.socket = self.directory / "sock"
        self.log_path = self.directory / "plexvold.log"
        for folder in (self.pool, self.devices):
            folder.mkdir()
        self._config_path = self.directory / "plexvold.json"
        self.config: dict[str, Any] = {
            "node_name": NODE,
            "pools": [{"name": "files", "type": "file", "directory": str(self.pool)}],
            "sockets": [str(self.socket)],
            "store": {"kind": "embedded", "directory": str(self.directory / "store")},
            "state_directory": str(self.directory / "state"),
            "device_directory": str(self.devices),
            "log_level": "debug",
            **settings,
        }
        self._config_path.write_text(json.dumps(self.config))
        self.agent_argv: list[str | Path] = [BUILD / "plexvold", "--config", self._config_path]
        self.machine = Machine()
        self._agent: subprocess.Popen[str] | None = None
        self._exit_codes: list[int] = []
        self.attaching = Driver(self, "attach", attach=True, timeout_seconds=TIMEOUT_SECONDS)
        self.mounting = Driver(self, "mount", attach=False, timeout_seconds=TIMEOUT_SECONDS)
        self.hasty = Driver(self, "hasty", attach=True, timeout_seconds=2)

    # The agent

    def start(self) -> None:
        """The agent; returns when it listens."""
        before = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("a") as log:
            agent = self.machine.popen(self.agent_argv, stdout=log, stderr=subprocess.STDOUT)
        self._agent = agent

        def listens() -> bool:
            # A connection would not tell: a tool of a killed agent may still hold the old socket open for a moment.
            assert agent.poll() is None, f"the agent ended with {agent.returncode}"
            with self.log_path.open("rb") as log:
                log.seek(before)
                return b"serving " in log.read()

        wait_until(listens, 120, "the agent listens", interval=0.01)

    @property
    def agent_pid(self) -> int:
        assert self._agent is not None
        return self.machine.started_by(self._agent)

    def kill(self) -> None:
        """SIGKILL, as the end of its container or of memory does it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as an upgrade does it."""
        self._end(signal.SIGTERM)
        assert self._exit_codes[-1] == 0, "the agent did not end well"

    def _end(self, number: int) -> None:
        if self._agent is None:
            return
        os.kill(self.agent_pid, number)
        self.resume()  # when it was paused
        self._exit_codes.append(self._agent.wait(timeout=30))
        self._agent = None

    def pause(self) -> None:
        """It hangs, as on a machine without memory."""
        assert self._agent is not None
        assert self.machine.pause(self._agent)

    def resume(self) -> None:
        assert self._agent is not None
        self.machine.resume(self._agent)

    def restart(self) -> None:
        self.kill()
        self.start()

    def reconfigure(self, **settings: Any) -> None:
        """The agent is started anew with these settings beside the usual ones."""
        self._config_path.write_text(json.dumps({**self.config, **settings}))
        self.stop()
        self.start()

    def connect(self) -> UnixConnection:
        return UnixConnection(self.socket)

    def reboot(self) -> None:
        """All processes, mounts, loop devices and links are gone; files stay. The agent is not started."""
        self.machine.power_off()
        self._agent = None
        self._detach_loops()
        for folder in (self.devices,):
            shutil.rmtree(folder)
        self.socket.unlink(missing_ok=True)
        self.machine.power_on()

    # Volumes

    @staticmethod
    def options(name: str, *, readwrite: str = "rw", fs_type: str = "", **own: str) -> str:
        """As a kubelet sends them: its own keys, then the user's."""
        kubelets = {
            "kubernetes.io/fsType": fs_type,
            "kubernetes.io/pvOrVolumeName": name,
            "kubernetes.io/readwrite": readwrite,
        }
        return json.dumps({**kubelets, **own}, sort_keys=True)

    def device(self, name: str) -> str:
        return str(self.devices / name)

    def device_dir(self, name: str) -> Path:
        """Where the kubelet wants a device mounted: it makes the directory."""
        return self._made(self.directory / "mounts" / name)

    def pod_dir(self, name: str, pod: str = "pod1") -> Path:
        return self._made(self.directory / "pods" / pod / "volumes" / "plexvol~plexvol" / name)

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return folder

    def see(self, path: Path) -> Path:
        return self.machine.see(path)

    def start_command(self, *arguments: str) -> "subprocess.Popen[str]":
        """A command for people."""
        argv = [self.mounting.path, *arguments]
        return self.machine.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def plexvol(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start_command(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def create(self, name: str, size: str = "64Mi", **more: str) -> None:
        flags = [word for key, value in more.items() for word in (f"--{key.replace('_', '-')}", value)]
        done = self.plexvol("volume", "create", name, "--size", size, *flags)
        assert done.returncode == 0, done.stderr

    def delete(self, name: str) -> None:
        done = self.plexvol("volume", "delete", name)
        assert done.returncode == 0, done.stderr

    def volume(self, name: str) -> dict[str, Any]:
        done = self.plexvol("volume", "show", name, "-o", "json")
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert isinstance(shown, dict)
        return shown

    def volumes(self) -> list[str]:
        done = self.plexvol("volume", "list", "-o", "json")
        assert done.returncode == 0, done.stderr
        return [volume["name"] for volume in json.loads(done.stdout)["volumes"]]

    def wait_detached(self, name: str) -> None:
        wait_until(lambda: self.volume(name)["attached_to"] == "", 120, f"{name} is attached nowhere", interval=0.02)

    # What there is

    def keys(self) -> dict[str, str]:
        """What the store's file holds. Only while nobody writes to it."""
        return read_store((self.directory / "store" / "store.log").read_bytes())

    def wishes(self) -> dict[str, str]:
        """The same without what agents report, which comes when it comes."""
        reports = ("nodes/", "alive/", "status/")
        return {key: value for key, value in self.keys().items() if not key.startswith(reports)}

    def mounts(self) -> list[str]:
        return self.machine.mounts(self.directory)

    def loops(self) -> dict[str, str]:
        """Loop devices on files of the pool, also on deleted ones: device and file."""
        found = {}
        for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                file = os.fsdecode(entry.read_bytes().removesuffix(b"\n"))
            except OSError:  # taken down meanwhile
                continue
            if file.startswith(f"{self.pool}/"):
                found[f"/dev/{entry.parts[3]}"] = file
        return found

    def loop_of(self, name: str) -> str:
        found = [device for device, file in self.loops().items() if file == f"{self.pool}/{name}.img"]
        assert len(found) == 1, f"{name} has the loop devices {found}"
        return found[0]

    def left_over(self) -> list[str]:
        """All that volumes may leave behind. Only after the agent's end."""
        left = [f"mount {point}" for point in self.mounts()]
        left += [f"loop device {device} on {file}" for device, file in self.loops().items()]
        left += [f"process {pid} {command}" for pid, command in self.machine.processes().items()]
        left += [f"image {path.name}" for path in self.pool.iterdir()]
        left += [f"link {path.name}" for path in self.devices.iterdir()] if self.devices.exists() else []
        own = (f"nodes/{NODE}", f"alive/{NODE}", f"placements/{NODE}", "slots-next")
        left += [f"key {key}" for key in self.keys() if key not in own]
        return left

    def check_log(self) -> None:
        text = self.log_path.read_text(errors="replace")
        for word in SANITIZER_WORDS:
            assert word not in text, "a sanitizer's finding, see the agent's log"

    def finish(self) -> None:
        """The volumes are deleted, the agent is stopped, and nothing is left."""
        if self._agent is None:
            self.start()
        for name in self.volumes():
            self.delete(name)
        self.stop()
        self.check_log()
        assert self.left_over() == []

    def destroy(self) -> None:
        """Whatever state it is in."""
        self.machine.power_off()
        self._detach_loops()
        # The guard of a pod's directory whose volume was unmounted by the agent.
        subprocess.run(["chattr", "-R", "-f", "-i", str(self.directory)], capture_output=True)
        shutil.rmtree(self.directory)

    def _detach_loops(self) -> None:
        def gone() -> bool:
            for device in self.loops():
                subprocess.run(["losetup", "--detach", device], capture_output=True)
            return not self.loops()

        wait_until(gone, 120, "the loop devices are gone", interval=0.02)


def read_store(content: bytes) -> dict[str, str]:
    """agent/store/file_format.h, without its checks: all changes in their order."""
    items: dict[str, str] = {}
    at = content.index(b"\n") + 1
    while at < len(content):
        end = content.index(b"\n", at)
        word, *numbers = content[at:end].decode().split()
        at = end + 1
        if word == "record":
            continue
        key_bytes = int(numbers[0] if word == "remove" else numbers[1])
        key = content[at : at + key_bytes].decode()
        at += key_bytes + 1
        if word == "remove":
            items.pop(key, None)
            continue
        value_bytes = int(numbers[2])
        items[key] = content[at : at + value_bytes].decode(errors="replace")
        at += value_bytes + 1
    return items
