"""A port of the switch for a network namespace of this host: a TAP device in it, relayed to the port's socket.

    nsenter --net=NAMESPACE python3 -m lab.tap DESCRIPTOR DEVICE MAC MTU ADDRESS...

The socket at DESCRIPTOR carries packets as qemu's do (see switch.py). Ends when the switch does.
"""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000

_LENGTH = struct.Struct("!I")
# Of a packet, with any MTU that the lab may have.
_MOST_BYTES = 1 << 16


def open_tap(device: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
    return tap


def set_up(device: str, mac: str, mtu: str, addresses: list[str]) -> None:
    subprocess.run(["ip", "link", "set", device, "address", mac, "mtu", mtu, "up"], check=True)
    for address in addresses:
        subprocess.run(["ip", "address", "add", address, "dev", device], check=True)


def send_all(tap: int, cable: socket.socket) -> None:
    while True:
        packet = os.read(tap, _MOST_BYTES)
        cable.sendall(_LENGTH.pack(len(packet)) + packet)


def receive_all(cable: socket.socket, tap: int) -> None:
    with cable.makefile("rb") as stream:
        while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
            packet = stream.read(*_LENGTH.unpack(head))
            try:
                os.write(tap, packet)
            except OSError:
                pass  # the device is down, or takes no more: a packet is lost


def main() -> None:
    descriptor, device, mac, mtu, *addresses = sys.argv[1:]
    cable = socket.socket(fileno=int(descriptor))
    tap = open_tap(device)
    set_up(device, mac, mtu, addresses)
    print("up", flush=True)
    threading.Thread(target=send_all, args=[tap, cable], daemon=True).start()
    with contextlib.suppress(ConnectionError):
        receive_all(cable, tap)
    os._exit(0)  # whatever the other thread is at


if __name__ == "__main__":
    main()
