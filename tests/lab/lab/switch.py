"""The network between the machines: a switch of its own process, in which links can be cut.

Every machine's network card is a stream socket, on which qemu puts a 4-byte length before each packet. A stream
carries many packets per system call, which makes Python quick enough here. The machines' MAC addresses end in their
number, so there is nothing to learn. The switch ends when its supervisor does: the control socket closes.
"""

import collections
import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

READ_SIZE = 1 << 18
# What a port's machine has not taken yet. Beyond it packets are lost, as in any switch.
QUEUE_BYTES = 4 << 20

MAC_PREFIX = bytes.fromhex("5254000000")

_LENGTH = struct.Struct("!I")


@dataclass
class Port:
    number: int
    cable: socket.socket
    received: bytearray = field(default_factory=bytearray)
    queue: bytearray = field(default_factory=bytearray)

    def packets(self) -> list[bytes]:
        """The packets that have arrived completely, each with its length before it."""
        found = []
        start = 0
        while len(self.received) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(self.received, start)[0]
            if len(self.received) < end:
                break
            found.append(bytes(self.received[start:end]))
            start = end
        del self.received[:start]
        return found


def tcp_ports(packet: bytes) -> tuple[int, ...]:
    """Of both ends, when it is TCP over IPv4. Before the frame stands its length."""
    if packet[16:18] != b"\x08\x00" or packet[27] != socket.IPPROTO_TCP:
        return ()
    begin = 18 + (packet[18] & 15) * 4
    return int.from_bytes(packet[begin : begin + 2], "big"), int.from_bytes(packet[begin + 2 : begin + 4], "big")


class Switch:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.ports: dict[int, Port] = {}
        self.cuts: set[tuple[int, int, int]] = set()  # (from, to, TCP port or 0 for everything)
        self.delay = 0.0
        self.delayed: collections.deque[tuple[float, int, int, bytes]] = collections.deque()
        self.forwarded = 0
        self.dropped = 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, events in self.selector.select(self._until_next_delayed()):
                if key.data is None:
                    if not self._obey():
                        return
                elif self.ports.get(key.data.number) is key.data:
                    if events & selectors.EVENT_READ:
                        self._receive(key.data)
                    if events & selectors.EVENT_WRITE:
                        self._flush(key.data)
            self._release_delayed()

    def _obey(self) -> bool:
        """One order of the supervisor. False when it is gone."""
        message, cables, _, _ = socket.recv_fds(self.control, READ_SIZE, 1)
        if not message:
            return False
        order = json.loads(message)
        if "plug" in order:
            self._plug(Port(order["plug"], socket.socket(fileno=cables[0])))
        if "cuts" in order:
            self.cuts = {(source, target, port) for source, target, port in order["cuts"]}
            self.delay = order["delay"]
        self.control.send(json.dumps({"forwarded": self.forwarded, "dropped": self.dropped}).encode())
        return True

    def _plug(self, port: Port) -> None:
        if port.number in self.ports:
            self._unplug(self.ports[port.number])
        port.cable.setblocking(False)
        self.ports[port.number] = port
        self.selector.register(port.cable, selectors.EVENT_READ, port)

    def _unplug(self, port: Port) -> None:
        self.selector.unregister(port.cable)
        port.cable.close()
        del self.ports[port.number]

    def _receive(self, port: Port) -> None:
        try:
            data = port.cable.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the machine lost its power
            self._unplug(port)
            return
        port.received += data
        touched: dict[int, Port] = {}
        for packet in port.packets():
            for target in self._targets(port, packet):
                if self.delay:
                    self.delayed.append((time.monotonic() + self.delay, port.number, target.number, packet))
                elif self._deliver(port.number, target, packet):
                    touched[target.number] = target
        for target in touched.values():
            self._flush(target)

    def _targets(self, source: Port, packet: bytes) -> list[Port]:
        """The one port with the packet's address; every other port for broadcasts and unknown addresses."""
        target = self.ports.get(packet[9]) if packet[4:9] == MAC_PREFIX else None
        if target is not None:
            return [target]
        return [port for port in self.ports.values() if port is not source]

    def _deliver(self, source: int, target: Port, packet: bytes) -> bool:
        if self._is_cut(source, target.number, packet) or len(target.queue) > QUEUE_BYTES:
            self.dropped += 1
            return False
        target.queue += packet
        self.forwarded += 1
        return True

    def _is_cut(self, source: int, target: int, packet: bytes) -> bool:
        if not self.cuts:
            return False
        return any((source, target, port) in self.cuts for port in (0, *tcp_ports(packet)))

    def _flush(self, port: Port) -> None:
        """Sends what the machine takes now; asks to be told when it takes more."""
        try:
            del port.queue[: port.cable.send(port.queue)]
        except BlockingIOError:
            pass
        except OSError:
            self._unplug(port)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if port.queue else 0)
        if self.selector.get_key(port.cable).events != wanted:
            self.selector.modify(port.cable, wanted, port)

    def _until_next_delayed(self) -> float | None:
        return max(0.0, self.delayed[0][0] - time.monotonic()) if self.delayed else None

    def _release_delayed(self) -> None:
        while self.delayed and self.delayed[0][0] <= time.monotonic():
            _, source, number, packet = self.delayed.popleft()
            target = self.ports.get(number)
            if target is not None and self._deliver(source, target, packet):
                self._flush(target)


if __name__ == "__main__":
    Switch(socket.socket(fileno=int(sys.argv[1]))).serve()
