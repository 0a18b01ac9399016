"""One pod on one node, as its kubelet has it made: a sandbox in the container runtime, a cgroup, and a container with
the writer."""

import threading
import uuid
from dataclasses import dataclass, field
from random import Random

from cluster import pod_dir
from containerd import remove_sandbox, run_sandbox
from lab import Command, Node

from . import GUEST

CONTAINER = ["sh", str(GUEST / "container.sh")]
WRITER = ["python3", "-I", "-S", str(GUEST / "writer.py")]
SLOTS = 64
ENDS_SECONDS = 3.0

_END = "pod=/sys/fs/cgroup/kubepods/burstable/pod$0; [ ! -e $pod ] || echo 1 >$pod/cgroup.kill"
_CLEAR = "find /sys/fs/cgroup/kubepods/burstable/pod$0 -depth -type d -exec rmdir {} + 2>/dev/null || true"


@dataclass
class Pod:
    """With a writer once its mount has succeeded and its sandbox stands."""

    node: str
    uid: str
    directory: str
    through_overlay: bool = False  # its container is one of an engine that runs inside the pod
    has_sandbox: bool = True  # otherwise its runtime knows nothing of it, as when its records were lost
    mounted: bool = False
    sandbox: str = ""
    generation: int = 0
    writer: Command | None = None
    pid: int = 0
    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    how: str = ""
    leaving_since: float = 0.0
    knows_at: float = 0.0  # when its kubelet has learned that it is to go; 0: cannot learn it now
    was_cut_off: bool = False
    failures: int = 0  # of its container, one after the other, to begin
    restart_at: float = 0.0
    # Kubelets do not wait for each other: each pod is taken away by a thread of its own.
    kubelet: threading.Thread | None = None
    dying: bool = False  # its kubelet has begun to take it away
    gone: bool = False

    @classmethod
    def on(cls, node: str, volume: str, chance: Random) -> "Pod":
        """A quarter of them use the volume through an overlay; of a fifth the runtime knows nothing."""
        uid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        return cls(node, uid, pod_dir(volume, uid), chance.random() < 0.25, chance.random() < 0.8)

    @property
    def kind(self) -> str:
        return ("overlay" if self.through_overlay else "plain") + ("" if self.has_sandbox else ", without a sandbox")

    @property
    def lives(self) -> bool:
        """Whether nobody may take its volume: it has a process or a sandbox, and its kubelet lets it be."""
        has_process = self.writer is not None and not self.ended.is_set()
        return self.mounted and not self.dying and (self.sandbox != "" or has_process)

    def make_sandbox(self, node: Node) -> None:
        if self.has_sandbox and not self.sandbox:
            self.sandbox = run_sandbox(node, self.uid)

    def start_container(self, node: Node, volume: str, count: int) -> Command:
        kind = "overlay" if self.through_overlay else "plain"
        words = [volume, str(self.generation), str(SLOTS), str(count)]
        self.writer = node.popen([*CONTAINER, self.uid, self.directory, kind, *WRITER, *words])
        return self.writer

    def end_container(self, node: Node) -> bool:
        """What a kubelet does first. False: something of it hangs in the kernel."""
        self.dying = True
        if self.writer is not None and not self.ended.is_set():
            node.run(["sh", "-c", _END, self.uid], timeout=20)
            if not self.ended.wait(ENDS_SECONDS):
                return False
        if self.sandbox:
            sandbox, self.sandbox = self.sandbox, ""
            try:
                remove_sandbox(node, sandbox)
            except Exception:
                self.sandbox = sandbox
                raise
        return True

    def clear(self, node: Node) -> None:
        """What it does last, when nothing is mounted any more."""
        node.run(["sh", "-c", _CLEAR, self.uid], timeout=20)
