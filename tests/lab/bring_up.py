"""Starting a lab with Plexvol on it before somebody's eyes, and ending it at ^C without leaving anything."""

import signal
from types import FrameType

from cluster import BUILD, Cluster
from lab import Lab, LabError, kernel, require_programs
from terminal import Terminal

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Turns the first signal that asks us to end into KeyboardInterrupt, and ends the lab before it is raised.

    The lab goes first because other threads may wait for its machines: they all get an error then, and end.
    """

    def __init__(self) -> None:
        self._lab: Lab | None = None
        self._starting = False
        self._came = False
        for number in ENDING_SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._came:
            self._came = True
            if not self._starting:
                self._end()

    def _end(self) -> None:
        if self._lab is not None:
            self._lab.stop()
        raise KeyboardInterrupt

    def start(self, lab: Lab, owner: int | None) -> None:
        """A lab that is half started cannot be stopped: a signal waits for the second that this takes."""
        self._starting = True
        lab.start(owner)
        self._lab = lab
        self._starting = False
        if self._came:
            self._end()

    def take_down(self) -> None:
        """Ends the lab, if it was started. Signals are ignored from here on: it is what they would ask for."""
        self._came = True
        if self._lab is not None:
            self._lab.stop()


def bring_up(terminal: Terminal, lab: Lab, owner: int | None, interruption: Interruption) -> Cluster:
    """Boots the machines and starts etcd and the agents. When that fails, nothing is left."""
    require_programs()
    if not (BUILD / "plexvold").exists() or not (BUILD / "plexvol").exists():
        raise LabError("Plexvol is not built: make build")
    with terminal.step("Debian's kernel for them, unpacked once"):
        kernel.prepare()
    try:
        with terminal.step(f"boot {', '.join(node.name for node in lab.nodes)}"):
            interruption.start(lab, owner)
            lab.wait_ready()
        with terminal.step("on each, an LVM volume group and a thin pool"):
            lab.prepare_lvm()
        with terminal.step("on each, etcd and the agent plexvold"):
            return Cluster(lab).start()
    except BaseException:
        interruption.take_down()
        raise
