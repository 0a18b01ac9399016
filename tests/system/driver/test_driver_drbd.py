"""The kernel's callback: what DRBD is answered, with and without an agent."""

import os
import subprocess

import pytest
from fake_agent import CLOSE, HANG, FakeAgent, error, result
from lone_driver import Driver

KERNEL = {"HOME": "/", "TERM": "linux", "PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "DRBD_PEER_AF": "ipv4",
          "DRBD_PEER_ADDRESS": "10.77.0.2"}
EVENTS = ["unfence-peer", "before-resync-target", "after-resync-target", "before-resync-source", "local-io-error",
          "pri-lost", "pri-lost-after-sb", "pri-on-incon-degr", "split-brain", "initial-split-brain", "out-of-sync",
          "quorum-lost", "an-event-of-a-later-drbd"]


@pytest.mark.parametrize("answer", [4, 7, 1, 3, 5, 6])
def test_fence_peer_answers_the_agents_word(driver: Driver, agent: FakeAgent, answer: int) -> None:
    agent.answers["/v1/drbd-helper"] = result({"exit_code": answer})
    outcome = driver.run("fence-peer", "v1", env=KERNEL)
    assert (outcome.status, outcome.out, outcome.err) == (answer, "", "")
    assert agent.request("/v1/drbd-helper").body == {
        "event": "fence-peer", "object": "v1",
        "environment": {"DRBD_PEER_AF": "ipv4", "DRBD_PEER_ADDRESS": "10.77.0.2"}}


def test_fence_peer_of_drbdadm_names_the_resource_in_the_environment(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/drbd-helper"] = result({"exit_code": 4})
    assert driver.run("fence-peer", env={"DRBD_RESOURCE": "v1"}).status == 4
    assert agent.request("/v1/drbd-helper").body["object"] == "v1"


@pytest.mark.parametrize("trouble", [None, HANG, CLOSE, error("Unavailable", "etcd is not reached"),
                                     error("Internal", "x"), result({}), result({"exit_code": 256}),
                                     result({"exit_code": -1}), result({"exit_code": "4"}), b"nonsense"])
def test_fence_peer_without_a_clear_answer_stays_frozen(driver: Driver, agent: FakeAgent,
                                                        trouble: bytes | None) -> None:
    driver.configure(timeout_seconds=0.5)
    if trouble is None:
        agent.stop()
    else:
        agent.answers["/v1/drbd-helper"] = trouble
    outcome = driver.run("fence-peer", "v1", env=KERNEL)
    assert (outcome.status, outcome.out, outcome.err) == (1, "", "")
    assert outcome.seconds < 1.5


def test_fence_peer_waits_for_an_agent_that_is_being_restarted(driver: Driver) -> None:
    agent = FakeAgent(driver.socket)
    agent.answers["/v1/drbd-helper"] = [CLOSE, error("Unavailable", "starting"), result({"exit_code": 4})]
    process = driver.start("fence-peer", "v1", env=KERNEL)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        agent.start()
        assert driver.finish(process).status == 4
    finally:
        agent.stop()


@pytest.mark.parametrize("event", EVENTS)
def test_every_other_event_is_reported_and_answered_with_0(driver: Driver, agent: FakeAgent, event: str) -> None:
    agent.answers["/v1/drbd-helper"] = result({"exit_code": 10})
    outcome = driver.run(event, "minor-1000", env=KERNEL)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    request = agent.request("/v1/drbd-helper")
    assert (request.body["event"], request.body["object"]) == (event, "minor-1000")


@pytest.mark.parametrize("trouble", [None, HANG, CLOSE, error("Internal", "x"), b"nonsense"])
def test_every_other_event_is_answered_with_0_whatever_happens(driver: Driver, agent: FakeAgent,
                                                               trouble: bytes | None) -> None:
    if trouble is None:
        agent.stop()
    else:
        agent.answers["/v1/drbd-helper"] = trouble
    outcome = driver.run("before-resync-source", "minor-1000", env=KERNEL)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert outcome.seconds < 4, "DRBD waits for it"


def test_the_kernel_opens_no_descriptors_for_its_helper(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/drbd-helper"] = result({"exit_code": 4})
    process = driver.start("fence-peer", "v1", env=KERNEL, stdin=None, stdout=None, stderr=None,
                           preexec_fn=lambda: [os.close(fd) for fd in (0, 1, 2)])
    assert process.wait(10) == 4


def test_a_call_that_only_looks_like_an_event_is_a_call_without_drbds_environment(driver: Driver) -> None:
    assert driver.run("an-event-of-a-later-drbd", "minor-1000").reply["status"] == "Not supported"
    assert driver.run("init", env=KERNEL).reply["status"] == "Success"
