"""An etcd cluster inside the machines: the store of the product under test."""

import base64
import json
import time
from typing import Any

from .errors import CommandFailed, LabError, Result
from .node import Node

SERVICE = "etcd"
CLIENT_PORT = 2379
PEER_PORT = 2380
DATA_DIR = "/persist/etcd"
START_TIMEOUT = 60.0
# Go's runtime wakes up to look around: an idle machine has 330 timer interrupts a second, and 150 with this. Together with fewer
# heartbeats it takes a fifth less processor time.
TIMER_SLACK_NS = 5_000_000


def start(nodes: list[Node]) -> None:
    """Starts one member on each node and waits until each of them serves."""
    members = ",".join(f"{node.name}=http://{node.address}:{PEER_PORT}" for node in nodes)
    for node in nodes:
        node.start_service(SERVICE, _command(node, members))
    for node in nodes:
        wait_healthy(node)


def stop(node: Node) -> None:
    """Not in the polite way, in which each member first looks for a successor: that takes seconds."""
    node.kill_service(SERVICE)
    node.stop_service(SERVICE)
    node.check(["rm", "-rf", DATA_DIR])


def wait_healthy(node: Node, timeout: float = START_TIMEOUT) -> None:
    """Waits until the member on this node serves: the cluster has a leader, and the member can reach it."""
    deadline = time.monotonic() + timeout
    while not is_healthy(node):
        if time.monotonic() > deadline:
            log = node.run(["tail", "-n", "20", node.service_log_path(SERVICE)]).text
            raise LabError(f"etcd on {node.name} does not serve after {timeout} s; its last words:\n{log}")
        time.sleep(0.1)


def is_healthy(node: Node) -> bool:
    health = node.run(["curl", "-s", "--max-time", "5", f"{node.etcd_url}/health"])
    return b'"health":"true"' in health.stdout


def set_no_space(nodes: list[Node], action: str) -> bool:
    """ACTIVATE: etcd answers what it has and takes nothing, as when its quota is reached. DEACTIVATE ends it.
    False: no member on these nodes has taken it, as without a majority."""
    asked = json.dumps({"action": action, "memberID": 0, "alarm": "NOSPACE"})
    for node in nodes:
        # By hand: etcdctl has no word for it.
        answer = node.run(["curl", "-s", "--max-time", "5", "-d", asked, f"{node.etcd_url}/v3/maintenance/alarm"])
        if answer.code == 0 and answer.stdout and b"error" not in answer.stdout:
            return True
    return False


def list_keys(node: Node, prefix: str, url: str, *words: str) -> list[str]:
    """What the member at this address has below the prefix. `words`: for curl, such as its certificates."""
    # All that begin with it: those before the key that has its last byte raised.
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    asked = {"key": encode(prefix), "range_end": encode(end), "keys_only": True}
    return [base64.b64decode(found["key"]).decode() for found in _keys_and_values(node, url, asked, *words)]


def find_value(node: Node, key: str, url: str) -> bytes | None:
    """What the member at this address has under the key; None: nothing. CommandFailed: it does not answer."""
    found = _keys_and_values(node, url, {"key": encode(key)})
    return base64.b64decode(found[0]["value"]) if found else None


def _keys_and_values(node: Node, url: str, asked: dict[str, Any], *words: str) -> list[dict[str, str]]:
    listed = ask(node, url, "range", asked, *words)
    if listed.code != 0:
        raise CommandFailed(node.name, ["curl", url], f"exit code {listed.code}", listed)
    return list(json.loads(listed.stdout).get("kvs", []))


def ask(node: Node, url: str, what: str, asked: dict[str, Any], *words: str) -> Result:
    """`what`: range, put, ... of etcd's KV service. By curl, since etcdctl takes seconds to start under emulation."""
    return node.run(["curl", "-fsS", "--max-time", "5", *words, "-d", json.dumps(asked), f"{url}/v3/kv/{what}"])


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _command(node: Node, members: str) -> list[str]:
    peer_url = f"http://{node.address}:{PEER_PORT}"
    return [
        "/bin/sh", "-c", f'echo {TIMER_SLACK_NS} >/proc/self/timerslack_ns; exec "$@"', "sh",
        "/usr/bin/etcd",
        f"--name={node.name}",
        f"--data-dir={DATA_DIR}",
        f"--listen-client-urls=http://0.0.0.0:{CLIENT_PORT}",
        f"--advertise-client-urls={node.etcd_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster={members}",
        # The defaults (100 and 1000 ms) take a busy emulated machine for a dead one.
        "--heartbeat-interval=400",
        "--election-timeout=2000",
        "--log-level=warn",
    ]
