"""What the controller asks of its node's agent, by the agent's socket."""

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

from lab import wait_until
from plexvol_host import NODE, Host


def ask_changes(host: Host, since: str, timeout_ms: int = 60_000) -> dict[str, Any]:
    connection = host.connect()
    try:
        return connection.post("changes", {"since": since}, timeout_ms)
    finally:
        connection.close()


def token_after(host: Host, since: str, timeout_ms: int = 60_000) -> str:
    return str(ask_changes(host, since, timeout_ms)["result"]["token"])


def quiet_token(host: Host) -> str:
    """The latest, when nothing has changed for a while. Also: a call whose time is over gets its own token again."""
    tokens = [token_after(host, "")]

    def is_quiet() -> bool:
        tokens.append(token_after(host, tokens[-1], timeout_ms=500))
        return tokens[-1] == tokens[-2]

    wait_until(is_quiet, 120, "nothing changes")
    return tokens[-1]


def test_a_call_that_waits_is_answered_by_the_next_change(host: Host) -> None:
    token = quiet_token(host)
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(token_after, host, token)
        host.create("pv-1")
        assert waits.result(timeout=60) != token
    assert host.volume("pv-1")["state"] == "Ready"


def test_calls_that_wait_end_with_the_agent_and_the_next_one_knows_no_token_of_it(host: Host) -> None:
    token = quiet_token(host)

    def wait_for_the_end() -> str:
        since = token
        while True:
            try:
                reply = ask_changes(host, since)
            except (OSError, HTTPException, ValueError) as error:  # between two calls
                return f"Unavailable: {error}"
            if "error" in reply:
                return f"{reply['error']['code']}: {reply['error']['message']}"
            since = reply["result"]["token"]

    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(wait_for_the_end) for _ in range(4)]
        host.stop()
        assert all(waits.result(timeout=60).startswith("Unavailable: ") for waits in waiting)
    assert "a call did not end within" not in host.log_path.read_text()
    host.start()
    assert token_after(host, token) != token


def test_a_volume_is_created_where_its_first_copy_must_be_or_not_at_all(host: Host) -> None:
    def create(first_node: str) -> dict[str, Any]:
        return host.connect().post("volume/create", {"name": "pv-1", "size": "64Mi", "first_node": first_node})

    refused = create("n9")["error"]
    assert refused["code"] == "OutOfSpace"
    assert refused["message"] == ("node n9 cannot have a copy of volume pv-1: no node of this name is known; "
                                  f"there are: {NODE}")
    assert host.volumes() == []
    made = create(NODE)["result"]
    assert [replica["node"] for replica in made["replicas"]] == [NODE]
    # Asked again after a crash, for another node.
    again = create("n9")["result"]
    assert (again["name"], [replica["node"] for replica in again["replicas"]]) == ("pv-1", [NODE])
