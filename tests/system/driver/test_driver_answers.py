"""What each call answers when nothing is wrong, and when the agent says no."""

import json

import pytest
from fake_agent import FakeAgent, error, result
from lone_driver import OPTIONS, OPTIONS_TEXT, Driver

DEFAULTS = {"attach": False, "selinuxRelabel": True, "supportsMetrics": True, "fsGroup": True,
            "requiresFSResize": True}


def test_init_needs_no_agent_and_answers_the_defaults_without_settings(driver: Driver) -> None:
    (driver.directory / ".plexvol.json").unlink()
    assert driver.run("init").reply == {"status": "Success", "capabilities": DEFAULTS}


def test_init_answers_the_capabilities_of_the_settings(driver: Driver) -> None:
    driver.configure(attach=True, selinuxRelabel=False, supportsMetrics=False, fsGroup=False, requiresFSResize=False)
    turned = {key: not value for key, value in DEFAULTS.items()}
    assert driver.run("init").reply["capabilities"] == turned


@pytest.mark.finding("K12")
def test_a_claim_that_was_made_larger_asks_the_agent(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/expand"] = result({"message": "n2 has no room"})
    reply = driver.run("expandfs", OPTIONS_TEXT, "", "/mnt", "2048", "1024").reply
    assert reply == {"status": "Success", "message": "n2 has no room"}
    assert agent.request("/v1/expand").body == {"options": OPTIONS, "target": "/mnt", "size": 2048}


@pytest.mark.parametrize("size", ["", "many", "-1", "1.5", "1Gi", "99999999999999999999"])
def test_a_size_that_is_no_number_of_bytes_is_refused(driver: Driver, size: str) -> None:
    reply = driver.run("expandfs", OPTIONS_TEXT, "", "/mnt", size, "1").reply
    assert reply["status"] == "Failure" and "not a number of bytes" in reply["message"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"attach": "yes"}', '{"timeout_seconds": -1}',
                                  '{"timeout_seconds": "soon"}', '{"socket": 5}', '{"attach": null}', "\xff", "[" * 5000,
                                  " " * 100_000])
def test_init_answers_the_defaults_when_the_settings_are_broken(driver: Driver, text: str) -> None:
    driver.write_settings(text)
    reply = driver.run("init").reply
    assert reply["status"] == "Success" and reply["capabilities"] == DEFAULTS
    assert ".plexvol.json" in reply["message"]


def test_init_answers_the_defaults_when_the_settings_are_a_directory(driver: Driver) -> None:
    (driver.directory / ".plexvol.json").unlink()
    (driver.directory / ".plexvol.json").mkdir()
    assert driver.run("init").reply["capabilities"] == DEFAULTS


def test_settings_are_found_through_a_link_to_the_executable(driver: Driver) -> None:
    driver.configure(attach=True)
    elsewhere = driver.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plexvol").symlink_to(driver.path)
    driver.path = elsewhere / "plexvol"
    assert driver.run("init").reply["capabilities"]["attach"] is True


@pytest.mark.parametrize("call", ["getvolumename", "expandvolume", "waitfordetach", "mountt", "ünknown"])
def test_a_call_that_is_not_offered_is_not_supported(driver: Driver, call: str) -> None:
    for arguments in ([], [OPTIONS_TEXT], ["a", "b", "c", "d", "e"]):
        assert driver.run(call, *arguments).reply["status"] == "Not supported"


def test_nothing_but_the_three_dot_files_is_ever_in_the_drivers_directory(driver: Driver) -> None:
    driver.configure(timeout_seconds=0.2)
    for arguments in (["init"], ["attach", OPTIONS_TEXT, "n1"], ["mount", "relative", OPTIONS_TEXT]):
        driver.run(*arguments)
    assert sorted(path.name for path in driver.directory.iterdir()) == [".plexvol.json", "plexvol"]


@pytest.mark.finding("O7")
def test_what_the_volume_does_not_have_is_said_with_the_success(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = result({"device": "/dev/plexvol/pv-1", "message": "volume pv-1 has 1 copy\x1b[2J"})
    reply = driver.run("attach", OPTIONS_TEXT, "n1").reply
    assert reply == {"status": "Success", "device": "/dev/plexvol/pv-1", "message": "volume pv-1 has 1 copy?[2J"}


def test_attach_asks_the_agent_and_answers_the_device(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = result({"device": "/dev/plexvol/pv-1"})
    assert driver.run("attach", OPTIONS_TEXT, "n1").reply == {"status": "Success", "device": "/dev/plexvol/pv-1"}
    asked = agent.request("/v1/attach")
    assert asked.body == {"options": OPTIONS, "node": "n1"}
    assert asked.headers["plexvol-protocol"] == "1"
    assert 9_000 < int(asked.headers["plexvol-timeout-ms"]) <= 10_000
    assert "plexvol-trace" not in asked.headers


def test_waitforattach_asks_with_the_device_and_answers_one(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/wait-for-attach"] = result({"device": "/dev/plexvol/pv-1"})
    for device in ("/dev/plexvol/pv-1", ""):
        reply = driver.run("waitforattach", device, OPTIONS_TEXT).reply
        assert reply == {"status": "Success", "device": "/dev/plexvol/pv-1"}
        assert agent.requests[-1].body == {"device": device, "options": OPTIONS}


@pytest.mark.parametrize("attached", [True, False])
def test_isattached_answers_the_agents_word(driver: Driver, agent: FakeAgent, attached: bool) -> None:
    agent.answers["/v1/is-attached"] = result({"attached": attached})
    assert driver.run("isattached", OPTIONS_TEXT, "n1").reply == {"status": "Success", "attached": attached}
    assert agent.request("/v1/is-attached").body == {"options": OPTIONS, "node": "n1"}


def test_detach_asks_with_the_name(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/detach"] = result({})
    assert driver.run("detach", "pv-1", "n1").reply == {"status": "Success"}
    assert agent.request("/v1/detach").body == {"name": "pv-1", "node": "n1"}


@pytest.mark.parametrize("code", ["InvalidArgument", "NotFound", "AlreadyExists", "Conflict", "OutOfSpace",
                                  "Unsupported", "Internal", "SomethingNewer"])
def test_the_agents_refusal_is_a_failure_with_its_words(driver: Driver, agent: FakeAgent, code: str) -> None:
    words = "volume pv-1 is mounted on n1 by process 812 (mysqld); it will not be detached"
    for path in ("attach", "wait-for-attach", "detach"):
        agent.answers["/v1/" + path] = error(code, words)
    assert driver.run("attach", OPTIONS_TEXT, "n2").message == words
    assert driver.run("waitforattach", "", OPTIONS_TEXT).message == words
    assert driver.run("detach", "pv-1", "n1").message == words
    assert len(agent.requests) == 3, "only Unavailable is asked again"


def test_a_refused_mount_is_a_failure_and_makes_no_mount(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/mount"] = error("Conflict", "attached to n2")
    target = driver.directory / "target"
    assert driver.run("mount", str(target), OPTIONS_TEXT).message == "attached to n2"
    assert agent.paths() == ["/v1/mount"]


@pytest.mark.parametrize("attach", [True, False])
def test_mount_and_mountdevice_say_what_they_were_given(driver: Driver, agent: FakeAgent, attach: bool) -> None:
    driver.configure(attach=attach)
    agent.answers["/v1/mount"] = error("Conflict", "no")
    target = str(driver.directory / "target")
    driver.run("mount", target + "//", OPTIONS_TEXT)
    assert agent.requests[0].body == {"options": OPTIONS, "target": target, "device": "", "attached_before": attach}
    driver.run("mountdevice", target, "/dev/plexvol/pv-1", OPTIONS_TEXT)
    assert agent.requests[1].body["device"] == "/dev/plexvol/pv-1"
    assert agent.requests[1].body["attached_before"] is True, "else nobody calls it"


def test_secrets_stay_with_the_driver(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/mount"] = error("Conflict", "no")
    options = {**OPTIONS, "kubernetes.io/secret/password": "czNjcmV0", "kubernetes.io/pod.name": "p"}
    outcome = driver.run("mount", str(driver.directory / "target"), json.dumps(options), "--trace")
    assert agent.request("/v1/mount").body["options"] == {**OPTIONS, "kubernetes.io/pod.name": "p"}
    assert "czNjcmV0" not in outcome.out + outcome.err


def test_unmount_of_what_is_not_mounted_succeeds_and_tells_the_agent(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/unmounted"] = result({})
    target = driver.directory / "target"
    for call in ("unmount", "unmountdevice"):
        assert driver.run(call, str(target)).reply == {"status": "Success"}
    target.mkdir()
    assert driver.run("unmount", str(target)).reply == {"status": "Success"}
    assert [request.body for request in agent.requests] == [{"target": str(target)}] * 3
    assert target.is_dir(), "the kubelet removes it"


def test_unmount_needs_no_agent(driver: Driver) -> None:
    outcome = driver.run("unmount", str(driver.directory / "target"))
    assert outcome.reply == {"status": "Success"}
    assert outcome.seconds < 2


def test_the_agent_is_found_beside_the_executable_too(driver: Driver) -> None:
    agent = FakeAgent(driver.directory / ".plexvold.sock").start()
    agent.answers["/v1/detach"] = result({})
    try:
        assert driver.run("detach", "pv-1", "n1").reply == {"status": "Success"}
    finally:
        agent.stop()


def test_options_can_come_from_a_file_or_from_stdin(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = result({"device": "/dev/plexvol/pv-1"})
    file = driver.directory / "options"
    file.write_text(OPTIONS_TEXT)
    assert driver.run("attach", f"@{file}", "n1").reply["status"] == "Success"
    assert driver.run("attach", "-", "n1", stdin=OPTIONS_TEXT).reply["status"] == "Success"
    assert [request.body["options"] for request in agent.requests] == [OPTIONS] * 2


@pytest.mark.parametrize("how", ["word", "environment"])
def test_a_trace_shows_the_steps_and_their_durations_on_stderr(driver: Driver, agent: FakeAgent, how: str) -> None:
    agent.answers["/v1/attach"] = result({"device": "/dev/plexvol/pv-1"}, trace=[
        {"what": "lvcreate --name pv-1 vg0", "took_us": 340_000, "exit_code": 5}])
    if how == "word":
        outcome = driver.run("--trace", "attach", OPTIONS_TEXT, "n1")
    else:
        outcome = driver.run("attach", OPTIONS_TEXT, "n1", env={"PLEXVOL_TRACE": "1"})
    assert json.loads(outcome.out)["status"] == "Success"
    assert "/v1/attach" in outcome.err
    assert "340.0 ms" in outcome.err and "lvcreate --name pv-1 vg0 -> exit 5" in outcome.err
    assert agent.request("/v1/attach").headers["plexvol-trace"] == "1"
