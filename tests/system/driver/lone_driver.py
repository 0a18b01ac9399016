"""A copy of the driver's executable in a directory of its own, and what a run of it gave."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("PLEXVOL_BINARY", ROOT / "build" / "plexvol"))

OPTIONS = {"kubernetes.io/fsType": "ext4", "kubernetes.io/pvOrVolumeName": "pv-1", "kubernetes.io/readwrite": "rw",
           "size": "64M"}
OPTIONS_TEXT = json.dumps(OPTIONS)


@dataclass
class Outcome:
    status: int
    out: str
    err: str
    seconds: float

    @property
    def reply(self) -> dict[str, Any]:
        """The reply of a FlexVolume call, which is as Kubernetes wants it whatever has happened."""
        assert self.err == ""
        assert self.out.endswith("\n") and "\n" not in self.out[:-1]
        reply = json.loads(self.out)
        assert isinstance(reply, dict)
        assert reply["status"] in ("Success", "Failure", "Not supported")
        assert (self.status == 0) == (reply["status"] == "Success")
        assert self.status in (0, 1)
        return reply

    @property
    def message(self) -> str:
        """Of a call that failed."""
        assert self.reply["status"] == "Failure"
        assert self.reply["message"]
        return str(self.reply["message"])


class Driver:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "plexvol"
        self.socket = directory / "agent"
        shutil.copy(BINARY, self.path)
        self.configure(timeout_seconds=10)

    def configure(self, **settings: Any) -> None:
        self.write_settings(json.dumps({"socket": str(self.socket), **settings}))

    def write_settings(self, text: str) -> None:
        (self.directory / ".plexvol.json").write_text(text)

    def start(self, *arguments: str, **keywords: Any) -> "subprocess.Popen[bytes]":
        keywords = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                    "cwd": "/", "env": {}, **keywords}
        return subprocess.Popen([str(self.path), *arguments], **keywords)

    def run(self, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None,
            limit: float = 30) -> Outcome:
        started = os.times().elapsed
        done = subprocess.run([str(self.path), *arguments], input=(stdin or "").encode(), capture_output=True,
                              cwd="/", env=env or {}, timeout=limit, check=False)
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode(), os.times().elapsed - started)

    def must(self, *arguments: str) -> Outcome:
        outcome = self.run(*arguments)
        assert outcome.reply["status"] == "Success", outcome.reply
        return outcome

    def finish(self, process: "subprocess.Popen[bytes]", limit: float = 30) -> Outcome:
        out, err = process.communicate(timeout=limit)
        return Outcome(process.returncode, out.decode(), err.decode(), 0)
