"""The agent is not there, starts late, goes away, hangs, or talks nonsense; and the caller does."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from fake_agent import CLOSE, HANG, FakeAgent, error, http, result
from lone_driver import OPTIONS_TEXT, Driver

DEVICE = {"device": "/dev/plexvol/pv-1"}


def test_without_an_agent_a_call_ends_in_its_own_time_and_says_where_it_looked(driver: Driver) -> None:
    driver.configure(timeout_seconds=0.7)
    for arguments in (["attach", OPTIONS_TEXT, "n1"], ["waitforattach", "", OPTIONS_TEXT], ["detach", "pv-1", "n1"],
                      ["mount", str(driver.directory / "target"), OPTIONS_TEXT]):
        outcome = driver.run(*arguments)
        assert "gave up after 0." in outcome.message
        assert f"{driver.socket} (No such file or directory)" in outcome.message
        assert f"{driver.directory}/.plexvold.sock" in outcome.message
        assert 0.3 < outcome.seconds < 2


def test_a_socket_that_nobody_serves_is_as_no_agent(driver: Driver) -> None:
    driver.configure(timeout_seconds=0.4)
    with socket.socket(socket.AF_UNIX) as unserved:
        unserved.bind(str(driver.socket))
    assert "(Connection refused)" in driver.run("detach", "pv-1", "n1").message


def test_a_path_that_is_too_long_for_a_socket_is_named(driver: Driver) -> None:
    driver.write_settings(json.dumps({"socket": "/" + "x" * 120, "timeout_seconds": 0.3}))
    assert "(File name too long)" in driver.run("detach", "pv-1", "n1").message


def test_an_agent_that_starts_late_is_waited_for(driver: Driver) -> None:
    agent = FakeAgent(driver.socket)
    agent.answers["/v1/attach"] = result(DEVICE)
    process = driver.start("attach", OPTIONS_TEXT, "n1")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        agent.start()
        assert driver.finish(process).reply == {"status": "Success", **DEVICE}
    finally:
        agent.stop()


def test_unavailable_is_asked_again_until_it_is_not(driver: Driver, agent: FakeAgent) -> None:
    no = error("Unavailable", "waiting for n1")
    agent.answers["/v1/attach"] = [no, no, result(DEVICE)]
    assert driver.run("attach", OPTIONS_TEXT, "n1").reply == {"status": "Success", **DEVICE}
    assert len({request.connection for request in agent.requests}) == 1, "the connection was good"


def test_what_was_waited_for_is_in_the_failure(driver: Driver, agent: FakeAgent) -> None:
    driver.configure(timeout_seconds=0.6)
    agent.answers["/v1/attach"] = error("Unavailable", "waiting for n1 to become primary")
    outcome = driver.run("attach", OPTIONS_TEXT, "n1")
    assert "waiting for n1 to become primary" in outcome.message and "gave up after 0." in outcome.message
    assert outcome.seconds < 1.5


def test_the_agents_reason_outlives_a_last_attempt_without_an_answer(driver: Driver, agent: FakeAgent) -> None:
    driver.configure(timeout_seconds=0.6)
    agent.answers["/v1/attach"] = [error("Unavailable", "etcd is not reached"), HANG]
    assert "etcd is not reached" in driver.run("attach", OPTIONS_TEXT, "n1").message


def test_an_agent_that_goes_away_in_the_middle_is_asked_again(driver: Driver, agent: FakeAgent) -> None:
    half = result(DEVICE)[:-10]
    agent.answers["/v1/attach"] = [CLOSE, half + CLOSE, result(DEVICE)]
    assert driver.run("attach", OPTIONS_TEXT, "n1").reply == {"status": "Success", **DEVICE}
    assert len(agent.requests) == 3


def test_an_agent_that_hangs_is_left_in_time(driver: Driver, agent: FakeAgent) -> None:
    driver.configure(timeout_seconds=0.5)
    agent.answers["/v1/attach"] = HANG
    outcome = driver.run("attach", OPTIONS_TEXT, "n1")
    assert "does not answer /v1/attach" in outcome.message
    assert 0.4 < outcome.seconds < 1.5


def test_an_answer_that_drips_is_left_in_time(driver: Driver, agent: FakeAgent) -> None:
    driver.configure(timeout_seconds=0.5)
    agent.answers["/v1/attach"] = http(200, b"x")[:-1]
    outcome = driver.run("attach", OPTIONS_TEXT, "n1")
    assert outcome.message and outcome.seconds < 1.5


GARBAGE = {
    "no HTTP": b"hello\r\n\r\n",
    "bytes": bytes(range(256)),
    "HTTP/2": b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "no length": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    "more than memory": b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "more than its length": http(200, b"{}") + b"more",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "a status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}",
    "no JSON": http(200, b"<html>500</html>"),
    "nothing": http(200, b""),
    "a list": http(200, b"[]"),
    "no protocol": http(200, b'{"result":{}}'),
    "no result": http(200, b'{"protocol":1}'),
    "a result that is no object": http(200, b'{"protocol":1,"result":7}'),
    "no device": result({}),
    "a device that is no text": result({"device": 7}),
    "deeply nested": http(200, b'{"protocol":1,"result":' + b"[" * 200_000),
    "an error without words": http(500, b'{"protocol":1,"error":{}}'),
    "an error that is none": http(500, b'{"protocol":1,"error":[]}'),
    "plain text with 500": http(500, b"Internal Server Error"),
    "a future protocol": result(DEVICE, protocol=2),
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
def test_nonsense_is_one_failure_at_once(driver: Driver, agent: FakeAgent, answer: bytes) -> None:
    agent.answers["/v1/attach"] = answer
    agent.answers["/v1/is-attached"] = answer
    outcome = driver.run("attach", OPTIONS_TEXT, "n1")
    assert len(outcome.message) <= 2100
    assert outcome.seconds < 5 and len(agent.requests) == 1, "asking again would not help"
    assert driver.run("isattached", OPTIONS_TEXT, "n1").reply == {"status": "Success", "attached": True}


def test_a_message_of_any_bytes_and_length_becomes_one_line_of_json(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = error("Internal", "first\nsecond\t\x00\x1b[31m" + "ü" * 50_000)
    message = driver.run("attach", OPTIONS_TEXT, "n1").message
    assert message.startswith("first second") and "\x1b" not in message and len(message.encode()) <= 2100


def test_bytes_that_are_no_text_in_an_answer_are_a_failure(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = http(500, b'{"protocol":1,"error":{"code":"Internal","message":"\xff\xfe"}}')
    assert driver.run("attach", OPTIONS_TEXT, "n1").message


@pytest.mark.parametrize("trouble", [None, HANG, CLOSE, error("Internal", "x"), error("Unavailable", "x")])
def test_isattached_says_yes_when_it_cannot_know(driver: Driver, agent: FakeAgent, trouble: bytes | None) -> None:
    driver.configure(timeout_seconds=0.5)
    if trouble is None:
        agent.stop()
    else:
        agent.answers["/v1/is-attached"] = trouble
    outcome = driver.run("isattached", OPTIONS_TEXT, "n1")
    assert outcome.reply == {"status": "Success", "attached": True}
    assert outcome.seconds < 1.5


def test_an_agent_that_hangs_does_not_hold_up_an_unmount_for_long(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/unmounted"] = HANG
    outcome = driver.run("unmount", str(driver.directory / "target"))
    assert outcome.reply == {"status": "Success"} and outcome.seconds < 4


@pytest.mark.parametrize("parent", ["ordinary", "blocks the signal", "ignores the signal"])
def test_sigterm_ends_a_waiting_call_at_once(driver: Driver, agent: FakeAgent, parent: str) -> None:
    agent.answers["/v1/wait-for-attach"] = HANG

    def before() -> None:
        if parent == "blocks the signal":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        elif parent == "ignores the signal":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    process = driver.start("waitforattach", "", OPTIONS_TEXT, preexec_fn=before)
    request = agent.arrived.get(timeout=60)
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM
    assert request.closed.wait(5), "the agent sees that nobody waits any more"
    process.communicate()


def test_a_reader_that_is_gone_is_no_crash(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/detach"] = result({})
    reader, writer = os.pipe()
    os.close(reader)
    process = driver.start("detach", "pv-1", "n1", stdout=writer, stderr=writer)
    os.close(writer)
    assert process.wait(10) == 0
    assert agent.paths() == ["/v1/detach"]


def test_closed_standard_descriptors_are_no_harm(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/detach"] = result({})
    process = driver.start("detach", "pv-1", "n1", "--trace", stdin=None, stdout=None, stderr=None,
                           preexec_fn=lambda: [os.close(fd) for fd in (0, 1, 2)])
    assert process.wait(10) == 0
    assert agent.request("/v1/detach").body["name"] == "pv-1", "nothing was written into the connection"


def test_many_calls_at_once_all_get_their_own_answer(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = lambda request: result({"device": "/dev/plexvol/" + request.body["node"]})
    found: dict[int, str] = {}

    def attach(number: int) -> None:
        found[number] = driver.run("attach", OPTIONS_TEXT, f"n{number}").reply["device"]

    threads = [threading.Thread(target=attach, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"/dev/plexvol/n{number}" for number in range(30)}


@pytest.mark.finding("K6")
def test_where_no_agent_listens_a_call_ends_sooner_and_says_what_to_do(driver: Driver) -> None:
    """A kubelet comes again by itself; until a call has failed its user sees no event."""
    driver.configure(timeout_seconds=100, agent_seconds=0.6)
    for arguments in (["mount", str(driver.directory / "target"), OPTIONS_TEXT], ["attach", OPTIONS_TEXT, "n1"]):
        message = driver.run(*arguments).message
        for part in ("plexvold", str(driver.socket), "No such file or directory", "journalctl -u plexvold", "kubectl"):
            assert part in message


@pytest.mark.finding("K6")
def test_an_agent_that_answers_has_the_whole_time(driver: Driver, agent: FakeAgent) -> None:
    """Also one that has been away in between for less than it may be."""
    driver.configure(timeout_seconds=100, agent_seconds=1.2)
    no = error("Unavailable", "waiting for n1")
    agent.answers["/v1/attach"] = [no] * 5 + [result(DEVICE)]  # pauses of 50, 100, 200, 400 and 800 ms
    process = driver.start("attach", OPTIONS_TEXT, "n1")
    for _ in range(3):
        agent.arrived.get(timeout=60)
    agent.stop()
    agent.start()
    assert driver.finish(process).reply == {"status": "Success", **DEVICE}


@pytest.mark.finding("K6")
def test_an_agent_that_goes_away_for_good_is_given_up(driver: Driver, agent: FakeAgent) -> None:
    driver.configure(timeout_seconds=100, agent_seconds=0.5)
    agent.answers["/v1/attach"] = HANG
    process = driver.start("attach", OPTIONS_TEXT, "n1")
    agent.arrived.get(timeout=60)
    agent.stop()
    assert "journalctl -u plexvold" in driver.finish(process).message
