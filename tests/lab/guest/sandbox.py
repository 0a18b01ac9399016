#!/usr/bin/python3
"""Pods' sandboxes in a container runtime, as a kubelet makes them by CRI. On the machine that the runtime is on:

    sandbox.py SOCKET run UID NAME [CGROUP_PARENT]    makes one, and prints its id
    sandbox.py SOCKET remove ID                       stops it and takes it away
    sandbox.py SOCKET list UID                        its sandboxes: a line "ID ready" or "ID stopped" for each
"""

import sys

import grpc

SERVICE = "/runtime.v1.RuntimeService"
NAMESPACE = "prod"
NODE = 2  # the host's network: no CNI is needed
READY = 0
TIMEOUT_SECONDS = 60


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def text(field: int, value: bytes | str) -> bytes:
    """A text, bytes or a message, as protobuf writes it."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def label(field: int, key: str, value: str) -> bytes:
    return text(field, text(1, key) + text(2, value))


def read(message: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a message, by their numbers."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0

    def take() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = take()
        if key & 7 == 0:
            fields.setdefault(key >> 3, []).append(take())
            continue
        assert key & 7 == 2, f"wire type {key & 7}"
        length = take()
        fields.setdefault(key >> 3, []).append(message[at : at + length])
        at += length
    return fields


def first_text(message: bytes) -> str:
    value = read(message)[1][0]
    assert isinstance(value, bytes)
    return value.decode()


class Runtime:
    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}", [("grpc.enable_http_proxy", 0)])

    def call(self, method: str, request: bytes) -> bytes:
        invoke = self._channel.unary_unary(f"{SERVICE}/{method}", lambda raw: raw, lambda raw: raw)
        return bytes(invoke(request, timeout=TIMEOUT_SECONDS, wait_for_ready=True))

    def run(self, uid: str, name: str, cgroup_parent: str) -> str:
        metadata = text(1, name) + text(2, uid) + text(3, NAMESPACE)
        labels = {"pod.uid": uid, "pod.name": name, "pod.namespace": NAMESPACE}
        security = text(1, number(1, NODE))
        config = text(1, metadata)
        config += b"".join(label(6, f"io.kubernetes.{key}", value) for key, value in labels.items())
        config += text(8, text(1, cgroup_parent) + text(2, security))
        return first_text(self.call("RunPodSandbox", text(1, config)))

    def remove(self, sandbox: str) -> None:
        self.call("StopPodSandbox", text(1, sandbox))
        self.call("RemovePodSandbox", text(1, sandbox))

    def list(self, uid: str) -> list[tuple[str, bool]]:
        request = text(1, label(3, "io.kubernetes.pod.uid", uid))
        items = read(self.call("ListPodSandbox", request)).get(1, [])
        return [(first_text(bytes(item)), read(bytes(item)).get(3, [READY])[0] == READY) for item in items]


def main() -> None:
    socket, verb, *words = sys.argv[1:]
    runtime = Runtime(socket)
    if verb == "run":
        print(runtime.run(words[0], words[1], words[2] if len(words) > 2 else ""))
    elif verb == "remove":
        runtime.remove(words[0])
    elif verb == "list":
        for sandbox, is_ready in runtime.list(words[0]):
            print(sandbox, "ready" if is_ready else "stopped")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
