"""Whatever the arguments are: one JSON object on stdout, nothing on stderr, and a message that says what is wrong."""

import json
import os

import pytest
from fake_agent import FakeAgent, result
from lone_driver import OPTIONS_TEXT, Driver

BAD_OPTIONS = {
    "empty": ("", "not JSON"),
    "not JSON": ("size=1Gi", "not JSON"),
    "half an object": ('{"size":', "not JSON"),
    "two objects": ("{}{}", "not JSON"),
    "a list": ("[]", "must be a JSON object"),
    "a number": ("7", "must be a JSON object"),
    "null": ("null", "must be a JSON object"),
    "a string": ('"size"', "must be a JSON object"),
    "a number for a string": ('{"size": 5}', "size"),
    "an object for a string": ('{"size": {"a": "b"}}', "size"),
    "null for a string": ('{"size": null}', "size"),
    "a number out of range": ('{"size": 1e999}', "not JSON"),
    "deeply nested": ("[" * 60_000, "nested deeper"),
    "deeply nested inside": ('{"a":' * 20_000, "nested deeper"),
    "a missing file": ("@/nowhere/options", "No such file"),
    "a directory": ("@/", "Is a directory"),
}


@pytest.mark.parametrize("options, part", BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_options_that_are_no_object_of_strings_are_refused(driver: Driver, agent: FakeAgent, options: str,
                                                           part: str) -> None:
    target = str(driver.directory / "target")
    for arguments in (["attach", options, "n1"], ["waitforattach", "", options], ["mount", target, options],
                      ["mountdevice", target, "/dev/x", options]):
        message = driver.run(*arguments).message
        assert message.startswith("the options") and part in message
        assert len(message) < 500
    assert agent.requests == [], "the agent has nothing to do with it"


def test_options_of_bytes_that_are_no_text_are_refused(driver: Driver) -> None:
    process = driver.start("attach", os.fsdecode(b'{"size":"\xff\xfe"}'), "n1")
    assert "not JSON" in driver.finish(process).message


def test_options_without_end_are_refused(driver: Driver) -> None:
    assert "File too large" in driver.run("attach", "@/dev/zero", "n1").message


@pytest.mark.parametrize("call, count", [("attach", 2), ("waitforattach", 2), ("isattached", 2), ("detach", 2),
                                         ("mountdevice", 3), ("mount", 2), ("unmount", 1), ("unmountdevice", 1)])
def test_a_wrong_number_of_arguments_is_refused(driver: Driver, agent: FakeAgent, call: str, count: int) -> None:
    for given in (*range(count), count + 1, 50):
        outcome = driver.run(call, *["{}"] * given)
        if call == "isattached":
            assert outcome.reply == {"status": "Success", "attached": True}
        else:
            assert f"takes {count} arguments" in outcome.message and f"given {given}" in outcome.message
    assert agent.requests == []


@pytest.mark.parametrize("options", ["", "[]", '{"size": 5}', "[" * 60_000])
def test_isattached_says_yes_to_what_it_does_not_understand(driver: Driver, agent: FakeAgent, options: str) -> None:
    agent.answers["/v1/is-attached"] = result({"attached": False})
    assert driver.run("isattached", options, "n1").reply == {"status": "Success", "attached": True}


@pytest.mark.parametrize("target, part", [
    ("", "not an absolute path"), ("relative/path", "not an absolute path"), ("/", "root directory"),
    ("///", "root directory"), ("/tmp/../etc", '".."'), ("/..", '".."'), ("-", "not an absolute path"),
    ("/" + "a/" * 3000, "bytes")])
def test_targets_that_cannot_be_are_refused(driver: Driver, agent: FakeAgent, target: str, part: str) -> None:
    for arguments in (["mount", target, OPTIONS_TEXT], ["mountdevice", target, "/dev/x", OPTIONS_TEXT],
                      ["unmount", target], ["unmountdevice", target]):
        assert part in driver.run(*arguments).message
    assert agent.requests == []


def test_a_target_that_is_a_file_is_named(driver: Driver, agent: FakeAgent) -> None:
    target = driver.directory / "file"
    target.write_text("precious")
    message = driver.run("mount", str(target), OPTIONS_TEXT).message
    assert str(target) in message and "not a directory" in message
    assert str(target) in driver.run("mount", str(target / "below"), OPTIONS_TEXT).message
    assert target.read_text() == "precious"
    assert agent.requests == []
    assert driver.run("unmount", str(target)).reply["status"] == "Success", "nothing is mounted there"


def test_a_target_that_is_a_link_is_refused(driver: Driver, agent: FakeAgent) -> None:
    (driver.directory / "real").mkdir()
    target = driver.directory / "link"
    target.symlink_to("real")
    assert "symbolic link" in driver.run("mount", str(target), OPTIONS_TEXT).message
    assert agent.requests == []


def test_names_of_any_length_and_content_reach_the_agent_unharmed(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/detach"] = result({})
    names = ["x" * 300, "", "a\nb", 'a"b\\c', "../../etc/passwd", "ü€😀", "$(reboot)", " "]
    for name in names:
        assert driver.run("detach", name, name).reply == {"status": "Success"}
    assert [request.body for request in agent.requests] == [{"name": name, "node": name} for name in names]
    too_long = str(driver.directory / ("x" * 300))
    assert "File name too long" in driver.run("mount", too_long, OPTIONS_TEXT).message


def test_the_largest_options_that_fit_an_argument_are_taken(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/attach"] = result({"device": "/dev/plexvol/pv-1"})
    options = {"mkfsOptions": "x" * 130_000}
    assert driver.run("attach", json.dumps(options), "n1").reply["status"] == "Success"
    assert agent.request("/v1/attach").body["options"] == options

