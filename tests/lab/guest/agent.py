"""Process 1 of an emulated machine: runs the commands that arrive on a virtio-serial port.

The port works without the network, so a machine that is cut off still answers. Everything is done by one thread
around one poll: commands are started with posix_spawn, which costs far less here than fork, and as process 1 the
agent also collects the orphans.
"""

import json
import os
import select
import signal
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import frames  # noqa: E402  (the module alone: the package around it would import what only the host needs)

PORT_NAME = "plexlab.agent"
READ_SIZE = 1 << 16


def open_port() -> int:
    """The character device of our port. udev would make a link by name, but has no rule for it here."""
    ports = "/sys/class/virtio-ports"
    for device in os.listdir(ports):
        with open(f"{ports}/{device}/name") as name:
            if name.read().strip() == PORT_NAME:
                return os.open(f"/dev/{device}", os.O_RDWR | os.O_CLOEXEC)
    raise FileNotFoundError(f"no virtio port named {PORT_NAME}")


class Command:
    """A command that was started: its process, and the pipes it writes to."""

    def __init__(self, number: int, pid: int, pipes: dict[int, int]) -> None:
        self.number = number
        self.pid = pid
        self.pipes = pipes  # descriptor -> kind of frame
        self.ended = False


class Agent:
    def __init__(self, port: int) -> None:
        self.port = port
        self.decoder = frames.Decoder()
        self.poll = select.poll()
        self.inputs: dict[int, int] = {}  # command number -> memory file with its standard input
        self.by_pid: dict[int, Command] = {}
        self.by_pipe: dict[int, Command] = {}
        self.refresh_failed = False
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.child_ended, wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll.register(port, select.POLLIN)
        self.poll.register(self.child_ended, select.POLLIN)

    def serve(self) -> None:
        self.send(0, frames.READY)
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.port:
                    for frame in self.decoder.feed(os.read(self.port, READ_SIZE)):
                        self.take(*frame)
                elif descriptor == self.child_ended:
                    os.read(self.child_ended, READ_SIZE)
                    self.reap()
                elif descriptor in self.by_pipe:
                    self.forward(descriptor)

    def send(self, number: int, kind: int, payload: bytes = b"") -> None:
        frame = memoryview(frames.encode(number, kind, payload))
        while frame:
            frame = frame[os.write(self.port, frame) :]

    def take(self, number: int, kind: int, payload: bytes) -> None:
        if kind == frames.STDIN:
            if number not in self.inputs:
                self.inputs[number] = os.memfd_create("stdin", os.MFD_CLOEXEC)
            os.write(self.inputs[number], payload)
        elif kind == frames.SPAWN:
            request = json.loads(payload)
            self.spawn(number, request["argv"], request["env"])
        elif kind == frames.REFRESH:
            self.refresh(payload)
        elif kind == frames.SIGNAL:
            for command in self.by_pid.values():
                if command.number == number:
                    os.killpg(command.pid, payload[0])

    def refresh(self, checkout: bytes) -> None:
        """Waits until it is done, so that the next command sees the new files."""
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "refresh.sh")
        pid = os.posix_spawn("/bin/busybox", ["sh", script, checkout], os.environ)
        self.refresh_failed = os.waitpid(pid, 0)[1] != 0

    def spawn(self, number: int, argv: list[str], env: dict[str, str]) -> None:
        if self.refresh_failed:  # better no answer than one of an old program
            self.send(number, frames.STDERR, b"too many old programs still run here to see the new ones: power cycle\n")
            self.send(number, frames.EXIT, bytes([frames.NOT_EXECUTABLE]))
            return
        stdin = self.inputs.pop(number, None)
        if stdin is not None:
            os.lseek(stdin, 0, os.SEEK_SET)
        out, out_of_child = os.pipe2(os.O_CLOEXEC)
        err, err_of_child = os.pipe2(os.O_CLOEXEC)
        sources = [self.null if stdin is None else stdin, out_of_child, err_of_child]
        try:
            pid = os.posix_spawnp(
                argv[0],
                argv,
                {**os.environ, **env},
                file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(sources)],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these two, and children would inherit it
            )
        except OSError as error:
            os.close(out)
            os.close(err)
            self.send(number, frames.STDERR, os.fsencode(f"{argv[0]}: {error.strerror}\n"))
            missing = isinstance(error, FileNotFoundError)
            self.send(number, frames.EXIT, bytes([frames.NOT_FOUND if missing else frames.NOT_EXECUTABLE]))
        else:
            command = Command(number, pid, {out: frames.STDOUT, err: frames.STDERR})
            self.by_pid[pid] = command
            for pipe in command.pipes:
                os.set_blocking(pipe, False)
                self.by_pipe[pipe] = command
                self.poll.register(pipe, select.POLLIN)
        finally:
            os.close(out_of_child)
            os.close(err_of_child)
            if stdin is not None:
                os.close(stdin)

    def forward(self, pipe: int) -> bool:
        """Sends what one read of the pipe gives. False when there was nothing."""
        command = self.by_pipe[pipe]
        try:
            data = os.read(pipe, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            self.poll.unregister(pipe)
            del self.by_pipe[pipe]
            os.close(pipe)
            return False
        if not command.ended:  # what a process left in the background writes later is read, but nobody waits for it
            self.send(command.number, command.pipes[pipe], data)
        return True

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            command = self.by_pid.pop(pid, None)
            if command is not None:
                self.finish(command, os.waitstatus_to_exitcode(status))

    def finish(self, command: Command, code: int) -> None:
        """All that the command itself wrote is in its pipes by now: what it left behind may hold them open."""
        for pipe in command.pipes:
            while pipe in self.by_pipe and self.forward(pipe):
                pass
        command.ended = True
        self.send(command.number, frames.EXIT, bytes([code if code >= 0 else 128 - code]))


if __name__ == "__main__":
    Agent(open_port()).serve()
