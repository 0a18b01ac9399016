"""What can go wrong in the lab. All are LabError, so a caller needs one `except`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


class LabError(Exception):
    """The lab could not do what was asked."""


class MachineLost(LabError):
    """The machine lost its power, or the lab ended, while a command ran in it."""


@dataclass(frozen=True)
class Result:
    """How a command ended. The code is 128 + N when signal N ended it."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """The standard output as text, without the white space around it."""
        return self.stdout.decode(errors="replace").strip()


class CommandError(LabError):
    """A command in a machine that did not do what it should; the message has all it said."""

    def __init__(self, node: str, argv: Sequence[str], what: str, result: Result) -> None:
        parts = [f"{node}: {shlex.join(argv)}: {what}"]
        for name, output in [("stdout", result.stdout), ("stderr", result.stderr)]:
            if output:
                parts.append(f"--- {name}:\n{output.decode(errors='replace').rstrip()}")
        super().__init__("\n".join(parts))
        self.node = node
        self.argv = list(argv)
        self.result = result


class CommandFailed(CommandError):
    """It ended with another code than 0."""


class CommandTimeout(CommandError):
    """It did not end in time. It was killed, and is gone unless it hangs in the kernel."""
