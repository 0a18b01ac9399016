"""One emulated machine: its disks, its qemu command line and its process."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .kernel import Kernel
from .paths import CHECKOUT, GUEST_SOURCE

AGENT_PORT = "plexlab.agent"

# Few and large packets: each one costs an interrupt in two emulated machines and a turn of the switch.
MTU = 9000

# Each mount of the checkout needs a device of its own while a program runs from it (see guest/refresh.sh).
CHECKOUT_DEVICES = 4

PERSIST_DISK_BYTES = 1 << 30
DATA_DISK_BYTES = 3 << 30


@dataclass(frozen=True)
class MachineConfig:
    number: int
    nodes: int
    memory_mib: int
    kernel: Kernel
    directory: Path

    @property
    def name(self) -> str:
        return f"n{self.number}"


class Machine:
    """A machine that is on or off. Its disks are files, so they stay while it is off."""

    def __init__(self, config: MachineConfig) -> None:
        self.config = config
        self.name = config.name
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False

    @property
    def console(self) -> Path:
        return console_path(self.config.directory, self.name)

    def create_disks(self) -> None:
        """Sparse images: vda with a file system for what the node must not forget, vdb empty for LVM."""
        persist = self._disk("persist")
        for disk, size in [(persist, PERSIST_DISK_BYTES), (self._disk("data"), DATA_DISK_BYTES)]:
            with open(disk, "wb") as image:
                image.truncate(size)
        # Made here and not by the guest: takes milliseconds instead of a second. Few inodes, written at once, leave
        # no work for the guest's kernel to do in the background.
        options = ["-q", "-N", "16384", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
        subprocess.run(["mkfs.ext4", *options, str(persist)], check=True)

    def power_on(self, agent: socket.socket, cable: socket.socket) -> None:
        """Starts qemu, which takes over one end of the agent's channel and one end of the network cable.

        It dies with the thread that calls this: the kernel sees to that, so not even a killed lab leaves machines.
        """
        command = ["setpriv", "--pdeathsig", "KILL", *self._qemu(agent.fileno(), cable.fileno())]
        with open(self.console, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=(agent.fileno(), cable.fileno()), start_new_session=True)

    def power_off(self) -> None:
        """A power loss: nothing in the machine gets to know."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.paused = False

    def pause(self) -> None:
        """Stops its processor: it hangs, keeping all it knows, and later does not know that time has passed."""
        self._running().send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)
        self.paused = False

    def _running(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            raise LabError(f"{self.name} is off")
        return self.process

    def _disk(self, name: str) -> Path:
        return self.config.directory / f"{self.name}-{name}.img"

    def _qemu(self, agent: int, cable: int) -> list[str]:
        config = self.config
        return [
            "qemu-system-x86_64", "-name", config.name,
            "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", str(config.memory_mib),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(config.kernel.image), "-initrd", str(config.kernel.initramfs),
            "-append", self._kernel_arguments(),
            "-chardev", f"file,id=console,path={_quoted(self.console)},append=on", "-serial", "chardev:console",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent}",
            "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}",
            *_shared_folder("host", Path("/"), devices=1),
            *_shared_folder("checkout", CHECKOUT, CHECKOUT_DEVICES),
            *self._drive("persist"),
            *self._drive("data"),
            "-netdev", f"socket,id=lan,fd={cable}",
            "-device", f"virtio-net-pci,netdev=lan,romfile=,host_mtu={MTU},mac={mac_address(config.number)}",
        ]  # fmt: skip

    def _kernel_arguments(self) -> str:
        config = self.config
        arguments = {
            "init": GUEST_SOURCE / "init.sh",
            "node": config.number,
            "nodes": config.nodes,
            "mtu": MTU,
            "checkout": CHECKOUT,
            "modules": config.kernel.modules,
        }
        # A panic ends the machine. The rest saves time at boot and in every system call.
        fixed = "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off nokaslr no_timer_check random.trust_cpu=on"
        return " ".join([fixed, *(f"plexlab.{name}={value}" for name, value in arguments.items())])

    def _drive(self, name: str) -> list[str]:
        # cache=unsafe leaves a write in the host's page cache, which outlives qemu: a power loss here loses what the
        # guest had not yet written to its disk, but nothing of what it had written and not flushed.
        return ["-drive", f"file={_quoted(self._disk(name))},if=virtio,format=raw,cache=unsafe,discard=unmap"]


def console_path(directory: Path, name: str) -> Path:
    """What the machine printed on its serial line, over all its boots."""
    return directory / f"{name}.console"


def mac_address(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def _shared_folder(tag: str, path: Path, devices: int) -> list[str]:
    """The folder, read-only, on that many devices of the same tag: the guest takes the first that is free."""
    options = ["-fsdev", f"local,id={tag},path={_quoted(path)},security_model=none,readonly=on,multidevs=remap"]
    return options + ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"] * devices


def _quoted(path: Path) -> str:
    """A comma ends a value in qemu's option lists, two of them are one."""
    return os.fspath(path).replace(",", ",,")
