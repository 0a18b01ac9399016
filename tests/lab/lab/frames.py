"""The words spoken between a machine's agent, the supervisor and its clients: frames of one running command.

A frame is a header (command number, kind, length) and a payload. On the way to the guest the frames of one command
are STDIN*, SPAWN, SIGNAL*; on the way back (STDOUT | STDERR)*, EXIT. Imported by the guest's agent too, where each
imported module costs time at boot: keep it free of others.
"""

import struct

STDIN = 1  # bytes of the standard input; all of them come before SPAWN
SPAWN = 2  # JSON: {"argv": [...], "env": {...}}
SIGNAL = 3  # one byte: the signal for the command's process group
REFRESH = 4  # the path of the checkout, as command 0: forget the cached files below it
STDOUT = 5
STDERR = 6
EXIT = 7  # one byte: the exit code, 128 + N when signal N ended it
READY = 8  # sent once, as command 0, when a booted machine takes commands

NOT_EXECUTABLE = 126
NOT_FOUND = 127

_HEADER = struct.Struct("!IBI")


def encode(command: int, kind: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(command, kind, len(payload)) + payload


class Decoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Takes the next bytes and returns the frames (command, kind, payload) they complete."""
        self._pending += data
        frames = []
        start = 0
        while len(self._pending) - start >= _HEADER.size:
            command, kind, length = _HEADER.unpack_from(self._pending, start)
            end = start + _HEADER.size + length
            if len(self._pending) < end:
                break
            frames.append((command, kind, bytes(self._pending[start + _HEADER.size : end])))
            start = end
        del self._pending[:start]
        return frames
