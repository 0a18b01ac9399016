"""The commands for people."""

import json
import re

import pytest
from fake_agent import CLOSE, HANG, FakeAgent, error, result
from lone_driver import Driver

REPLICAS = [{"node": "n1", "alive": True, "pool": "fast", "device": "/dev/vg0/data", "role": "Primary",
             "disk_state": "UpToDate", "connection": "Connected", "synced_percent": 100, "current": True,
             "mounts": ["/var/lib/kubelet/x"], "error": ""},
            {"node": "n2", "alive": False, "pool": "fast", "device": "/dev/vg0/data", "role": "Secondary",
             "disk_state": "Inconsistent", "connection": "SyncTarget", "synced_percent": 41.27, "current": False,
             "mounts": [], "error": "lvs stalled"}]
VOLUME = {"name": "data", "size_bytes": 3 << 29, "pool": "fast", "fs_type": "xfs", "state": "Syncing",
          "attached_to": "n1", "deleting": False, "drbd_minor": 1000, "epoch": 7, "replicas": REPLICAS}
EMPTY = {**VOLUME, "name": "a-much-longer-name", "attached_to": "", "replicas": [REPLICAS[0]],
         "copies": 1, "copies_asked": 2, "namespace": "shop"}
NODE = {"name": "n1", "alive": True, "address": "10.0.0.1", "version": "0.1.0", "drbd_version": "8.4.11",
        "pools": [{"name": "fast", "type": "lvm", "total_bytes": 10 << 30, "free_bytes": 4 << 30, "error": ""},
                  {"name": "slow", "type": "lvm-thin", "total_bytes": 1 << 40, "free_bytes": 1 << 39,
                   "error": "thin pool is full"}]}


def columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("   ") if cell.strip()]


def test_volume_list_is_a_table_of_aligned_columns(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/list"] = result({"volumes": [VOLUME, EMPTY]})
    outcome = driver.run("volume", "list")
    assert (outcome.status, outcome.err) == (0, "")
    heading, first, second = outcome.out.splitlines()
    assert columns(heading) == ["NAME", "SIZE", "STATE", "ATTACHED TO", "REPLICAS", "POOL", "FS", "NAMESPACE"]
    assert columns(first) == ["data", "1.5Gi", "Syncing", "n1", "n1, n2", "fast", "xfs", "-"]
    assert columns(second) == ["a-much-longer-name", "1.5Gi", "Syncing", "-", "n1 (1 of 2 asked for)", "fast", "xfs", "shop"]
    assert heading.index("SIZE") == first.index("1.5Gi") == second.index("1.5Gi")


def test_lists_may_be_empty(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/list"] = result({"volumes": []})
    agent.answers["/v1/node/list"] = result({"nodes": []})
    assert driver.run("volume", "list").out.startswith("NAME")
    assert driver.run("node", "list").out.startswith("NAME")


def test_volume_show_shows_each_copy_and_what_is_wrong_with_it(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/show"] = result(VOLUME)
    outcome = driver.run("volume", "show", "data")
    assert outcome.status == 0
    for part in ("data", "1.5Gi", "1000", "Inconsistent", "41.2%", "DOWN", "/var/lib/kubelet/x", "n2: lvs stalled"):
        assert part in outcome.out
    assert agent.request("/v1/volume/show").body == {"name": "data"}


def test_node_list_has_a_line_for_each_pool(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/node/list"] = result({"nodes": [NODE]})
    lines = driver.run("node", "list").out.splitlines()
    assert columns(lines[1]) == ["n1", "up", "10.0.0.1", "0.1.0", "8.4.11", "fast (lvm, 4Gi of 10Gi free)"]
    assert columns(lines[2]) == ["slow (lvm-thin, 512Gi of 1Ti free) thin pool is full"]


def test_json_is_what_the_agent_said_with_what_a_newer_one_may_add(driver: Driver, agent: FakeAgent) -> None:
    added = {**VOLUME, "colour": "green"}
    agent.answers["/v1/volume/list"] = result({"volumes": [added]})
    agent.answers["/v1/volume/show"] = result(added)
    agent.answers["/v1/node/list"] = result({"nodes": [NODE]})
    assert json.loads(driver.run("volume", "list", "-o", "json").out) == {"volumes": [added]}
    assert json.loads(driver.run("-o", "json", "volume", "show", "data").out) == added
    assert json.loads(driver.run("node", "--output=json", "list").out) == {"nodes": [NODE]}


def test_volume_create_sends_what_was_typed(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/create"] = result(VOLUME)
    outcome = driver.run("volume", "create", "data", "--size", "1536Mi", "--replicas", "2", "--nodes", "n1,n2",
                         "--pool", "fast", "--fs-type", "xfs", "--mkfs-options=-m crc=1")
    assert outcome.out == "volume data of 1.5Gi is created on n1, n2\n"
    assert agent.request("/v1/volume/create").body == {
        "name": "data", "size": "1536Mi", "replicas": 2, "nodes": ["n1", "n2"], "pool": "fast", "fs_type": "xfs",
        "mkfs_options": "-m crc=1", "namespace": "", "first_node": ""}


def test_volume_delete_says_what_it_waits_for(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/delete"] = [result({"waiting_for": ["n2", "n3"]}), result({"waiting_for": []})]
    assert "n2, n3" in driver.run("volume", "delete", "data").out
    assert driver.run("volume", "delete", "data").out == "volume data is deleted\n"


def test_version_is_of_both_programs(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/version"] = result({"version": "0.9.9", "protocol": 1, "node": "n1", "store": "etcd"})
    ours = driver.run("--version").out.strip()
    assert ours.startswith("plexvol ") and len(agent.requests) == 0
    lines = driver.run("version").out.splitlines()
    assert lines == [ours, "plexvold 0.9.9 on node n1 (store etcd, protocol 1)"]
    both = json.loads(driver.run("version", "-o", "json").out)
    assert both["plexvol"] == ours.split()[1] and both["plexvold"]["version"] == "0.9.9"


@pytest.mark.parametrize("command", [["volume", "list"], ["volume", "create", "data", "--size", "1Gi"],
                                     ["volume", "delete", "data"], ["node", "list"], ["version"]])
def test_a_failure_is_one_line_on_stderr(driver: Driver, agent: FakeAgent, command: list[str]) -> None:
    path = "/v1/version" if command == ["version"] else "/v1/" + "/".join(command[:2])
    for answer, part in ((error("NotFound", "no\nvolume"), "plexvol: no volume\n"), (CLOSE, "went away"),
                         (error("Unavailable", "etcd is not reached"), "etcd is not reached"), (b"x", "HTTP")):
        agent.requests.clear()
        agent.answers[path] = answer
        outcome = driver.run(*command)
        assert outcome.status == 1 and part in outcome.err
        assert outcome.err.startswith("plexvol: ") and outcome.err.count("\n") == 1
        assert len(agent.requests) == 1, "a person decides whether it is tried again"


def test_a_missing_agent_is_said_at_once(driver: Driver) -> None:
    outcome = driver.run("volume", "list", "--socket", "/nowhere/sock")
    assert outcome.status == 1 and outcome.seconds < 2
    assert outcome.err.startswith("plexvol: plexvold, the agent of this node, does not answer on /nowhere/sock "
                                  "(No such file or directory); start it")
    assert outcome.err.count("\n") == 1


def test_the_timeout_can_be_given(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/list"] = HANG
    outcome = driver.run("volume", "list", "--timeout", "0.3")
    assert outcome.status == 1 and outcome.seconds < 2 and "does not answer" in outcome.err


@pytest.mark.parametrize("command", [
    ["volume"], ["volume", "make"], ["volume", "create"], ["volume", "create", "data"], ["volume", "show"],
    ["volume", "list", "surplus"], ["volume", "list", "--nonsense"], ["volume", "list", "-o", "xml"],
    ["node"], ["--nonsense"], ["volume", "create", "data", "--size", "1Gi", "--replicas", "two"],
    ["volume", "list", "--timeout", "-1"], ["--socket"], []])
def test_wrong_usage_ends_with_2_and_help(driver: Driver, agent: FakeAgent, command: list[str]) -> None:
    outcome = driver.run(*command)
    assert outcome.status == 2 and outcome.out == "" and "--help" in outcome.err
    assert agent.requests == []


@pytest.mark.parametrize("command", [[], ["volume"], ["volume", "create"], ["volume", "list"], ["volume", "show"],
                                     ["volume", "delete"], ["node"], ["node", "list"], ["pv"], ["version"]])
def test_help_is_everywhere(driver: Driver, command: list[str]) -> None:
    outcome = driver.run(*command, "--help")
    assert outcome.status == 0 and outcome.err == ""
    assert "Usage: plexvol" in outcome.out
    if len(command) != 1 or command == ["version"]:
        assert "Example" in outcome.out


def test_help_explains_all_three_faces(driver: Driver) -> None:
    text = driver.run("--help").out
    for part in ("plexvol volume create", "plexvol mount DIR OPTIONS", "--trace", "@FILE", "fence-peer"):
        assert part in text


def test_a_trace_of_a_command_is_on_stderr(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/list"] = result({"volumes": []}, trace=[{"what": "lvs", "took_us": 5, "exit_code": 0}])
    outcome = driver.run("volume", "list", "--trace")
    assert outcome.status == 0 and "/v1/volume/list" in outcome.err and "agent: lvs" in outcome.err


def test_what_the_agent_says_cannot_paint_the_terminal(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/list"] = result({"volumes": [{**VOLUME, "state": "\x1b[2J\nx"}]})
    outcome = driver.run("volume", "list")
    assert "\x1b" not in outcome.out and len(outcome.out.splitlines()) == 2


@pytest.mark.parametrize("verb", ["cordon", "uncordon"])
def test_a_node_is_cordoned_at_once(driver: Driver, agent: FakeAgent, verb: str) -> None:
    agent.answers["/v1/node/change"] = result({"left": []})
    outcome = driver.run("node", verb, "n2")
    assert (outcome.status, outcome.err, outcome.out) == (0, "", f"node n2 is {verb}ed\n")
    assert agent.request("/v1/node/change").body == {"name": "n2", "action": verb}


def test_a_drained_node_is_asked_about_until_nothing_is_left(driver: Driver, agent: FakeAgent) -> None:
    waits = {"volume": "data", "why": "waiting for its turn to be moved", "needs_person": False}
    agent.answers["/v1/node/change"] = [result({"left": [waits]}), result({"left": [waits]}), result({"left": []})]
    outcome = driver.run("node", "drain", "n2")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == "data: waiting for its turn to be moved\nnode n2 is empty\n"


def test_a_drain_waits_for_a_store_that_does_not_answer(driver: Driver, agent: FakeAgent) -> None:
    waits, no = {"volume": "data", "why": "waiting for its turn to be moved", "needs_person": False}, "etcd: no answer in time"
    agent.answers["/v1/node/change"] = [result({"left": [waits]}), error("Unavailable", no), result({"left": []})]
    outcome = driver.run("node", "drain", "n2")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == f"data: waiting for its turn to be moved\n{no}\nnode n2 is empty\n"
    # What was never heard is not waited for.
    agent.answers["/v1/node/change"] = error("Unavailable", no)
    outcome = driver.run("node", "drain", "n2")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"plexvol: {no}\n")


def test_a_drain_that_needs_a_person_says_so_and_ends(driver: Driver, agent: FakeAgent) -> None:
    stuck = {"volume": "data", "why": "is in use there: move its pod away", "needs_person": True}
    agent.answers["/v1/node/change"] = result({"left": [stuck]})
    outcome = driver.run("node", "drain", "n2")
    assert (outcome.status, outcome.out) == (1, "data: is in use there: move its pod away\n")
    assert outcome.err == "plexvol: what is left on n2 needs an administrator\n"


HOSTILE = "process 7 (\x1b]0;mine\x07\u009b2J\u202e) has it open\nn9: all is well"


@pytest.mark.finding("S6")
@pytest.mark.parametrize("command", [["volume", "list"], ["volume", "show", "data"], ["node", "list"], ["node", "drain", "n2"],
                                     ["doctor"], ["volume", "delete", "data"]])
@pytest.mark.parametrize("form", ["table", "json"])
def test_nothing_that_a_pod_wrote_steers_the_terminal(driver: Driver, agent: FakeAgent, command: list[str], form: str) -> None:
    volume = {**VOLUME, "replicas": [{**REPLICAS[0], "error": HOSTILE, "mounts": [HOSTILE]}]}
    agent.answers["/v1/volume/list"] = result({"volumes": [{**VOLUME, "state": HOSTILE}]})
    agent.answers["/v1/volume/show"] = result(volume)
    agent.answers["/v1/volume/delete"] = error("Conflict", HOSTILE)
    agent.answers["/v1/node/list"] = result({"nodes": [{**NODE, "pools": [{**NODE["pools"][0], "error": HOSTILE}]}]})
    agent.answers["/v1/node/change"] = result({"left": [{"volume": "data", "why": HOSTILE, "needs_person": True}]})
    agent.answers["/v1/doctor"] = result({"findings": [{"what": "x", "level": "fault", "found": HOSTILE, "wanted": HOSTILE,
                                                        "advice": HOSTILE}]})
    outcome = driver.run(*command, "-o", form)
    text = outcome.out + outcome.err
    assert "process 7 (" in text
    for character in "\x1b\x07\u009b\u202e":
        assert character not in text
    assert not any(line.startswith("n9: ") for line in text.splitlines())


@pytest.mark.finding("S7")
def test_volume_set_says_what_it_did_and_how_to_undo_it(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/show"] = [result(VOLUME), result({**VOLUME, "namespace": "shop"}), result({**VOLUME, "namespace": "*"})]
    agent.answers["/v1/volume/set"] = result(VOLUME)
    said = [driver.run("volume", "set", "data", *words).out
            for words in (["--namespace", "shop"], ["--any-namespace"], ["--namespace", "x"])]
    assert said == [
        "volume data: pods of namespace shop may mount it (before: none had mounted it yet)\n",
        "volume data: pods of any namespace may mount it (to undo: plexvol volume set data --namespace shop)\n",
        "volume data: pods of namespace x may mount it (to undo: plexvol volume set data --any-namespace)\n"]
    bodies = [request.body for request in agent.requests if request.path == "/v1/volume/set"]
    unchanged = {"name": "data", "copies": 0, "keep": ""}
    assert bodies == [{**unchanged, "namespace": namespace} for namespace in ("shop", "*", "x")]
    for words in ([], ["--namespace", "a", "--any-namespace"], ["--copies", "3"], ["--keep", "n1"]):
        assert driver.run("volume", "set", "data", *words).status == 2


def test_what_is_still_to_be_done_with_copies_is_said(driver: Driver, agent: FakeAgent) -> None:
    waits = "a second replica is made once the volume is released on n1"
    for path in ("/v1/volume/set", "/v1/volume/move", "/v1/volume/show"):
        agent.answers[path] = result({**VOLUME, "pending": waits})
    assert driver.run("volume", "set", "data", "--copies", "2").out == f"volume data: {waits}\n"
    assert driver.run("volume", "move", "data", "--from", "n1", "--to", "n4").out == f"volume data: {waits}\n"
    assert waits in driver.run("volume", "show", "data").out
    agent.answers["/v1/volume/set"] = result(VOLUME)
    assert driver.run("volume", "set", "data", "--copies", "1", "--keep", "n1").out.startswith("volume data: its replicas are on ")
    bodies = [request.body for request in agent.requests if request.path in ("/v1/volume/set", "/v1/volume/move")]
    unchanged = {"name": "data", "namespace": "", "keep": ""}
    assert bodies == [{**unchanged, "copies": 2}, {"name": "data", "from": "n1", "to": "n4"},
                      {**unchanged, "copies": 1, "keep": "n1"}]


def test_a_move_is_followed_until_it_is_done(driver: Driver, agent: FakeAgent) -> None:
    gi = 1 << 30
    full, filled = dict(VOLUME["replicas"][0]), {**VOLUME["replicas"][0], "node": "n4", "current": False, "made": True}
    moving = {**VOLUME, "size_bytes": 100 * gi, "state": "Syncing", "pending": "the replica on n1 goes"}
    agent.answers["/v1/volume/move"] = result(VOLUME)
    agent.answers["/v1/volume/show"] = [
        result({**moving, "replicas": [full, {**filled, "synced_percent": percent, "out_of_sync_bytes": left * gi}]})
        for percent, left in ((10.0, 90), (50.9, 50))
    ] + [error("Unavailable", "etcd is not reached"), result({**VOLUME, "state": "Ready"})]
    lines = driver.run("volume", "move", "data", "--to", "n4", "-w").out.splitlines()
    assert lines[0] == "volume data: the replica on n1 goes; n4 10%: 10Gi of 100Gi"
    assert re.fullmatch(r"volume data: the replica on n1 goes; n4 50%: 50Gi of 100Gi, [0-9.]+[MG]i/s, ~[0-9]+ s", lines[1])
    assert lines[2] == "etcd is not reached"
    assert lines[3].startswith("volume data: its replicas are on ")


@pytest.mark.finding("S7", "O7")
def test_volume_show_says_whose_it_is_and_what_it_lacks(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/show"] = [result(EMPTY), result({**VOLUME, "namespace": "*"})]
    out = driver.run("volume", "show", "data").out
    assert "shop" in out and "1 of 2 asked for" in out
    assert "any" in driver.run("volume", "show", "data").out


@pytest.mark.finding("O10")
def test_node_list_says_what_is_promised(driver: Driver, agent: FakeAgent) -> None:
    thick, thin = ({**pool, "error": "", "promised_bytes": 3 << 39, "max_promised_percent": 200} for pool in NODE["pools"])
    agent.answers["/v1/node/list"] = result({"nodes": [{**NODE, "pools": [thick, thin, {**thin, "max_promised_percent": 0}]}]})
    lines = driver.run("node", "list").out.splitlines()
    assert lines[1].endswith("fast (lvm, 4Gi of 10Gi free)")
    assert lines[2].endswith("slow (lvm-thin, 512Gi of 1Ti free, 150% promised of at most 200%)")
    assert lines[3].endswith("slow (lvm-thin, 512Gi of 1Ti free, 150% promised)")


@pytest.mark.finding("O9")
def test_a_forgotten_node_that_is_gone_by_the_second_question_is_forgotten(driver: Driver, agent: FakeAgent) -> None:
    waits = {"volume": "data", "why": "its only replica is there until a second one is complete", "needs_person": False}
    agent.answers["/v1/node/change"] = [result({"left": [waits]}), error("NotFound", "no node named n2; there are: n1")]
    assert driver.run("node", "forget", "n2").out.endswith("node n2 is forgotten\n")
    outcome = driver.run("node", "forget", "n2")
    assert (outcome.status, outcome.err) == (1, "plexvol: no node named n2; there are: n1\n")


REPAIR = {"rolled_back": "n2 saw at 2026-01-31T10:00:00Z: another etcd", "applied": False, "done": False, "volumes": [
    {"name": "data", "store": "set 5 {n1,n2}", "nodes": ["n2 acted on set 6 {n2}", "n1 has not answered"],
     "action": "n1 may know of a newer set", "in_doubt": True}]}


@pytest.mark.finding("D19")
def test_store_repair_shows_what_is_known_and_changes_nothing_unasked(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/store/repair"] = result(REPAIR)
    shown = driver.run("store", "repair")
    assert shown.status == 0, shown
    assert agent.request("/v1/store/repair").body == {
        "apply": False, "accept_data_loss": False, "without": [], "use": []}
    for text in ("IN DOUBT", "n1 has not answered", "n2 saw at", "nothing was changed: add --apply"):
        assert text in shown.out, shown.out


@pytest.mark.finding("D19")
def test_store_repair_fails_while_a_volume_is_in_doubt(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/store/repair"] = result({**REPAIR, "applied": True})
    tried = driver.run("store", "repair", "--apply", "--without", "n3", "--use", "data=n2", "--i-accept-data-loss")
    assert tried.status == 1 and "1 volume is in doubt" in tried.err, tried
    assert agent.request("/v1/store/repair").body == {
        "apply": True, "accept_data_loss": True, "without": ["n3"], "use": [{"volume": "data", "node": "n2"}]}
    for wrong in ("data", "=n2", "data="):
        refused = driver.run("store", "repair", "--apply", "--use", wrong)
        assert refused.status == 1 and "expected VOLUME=NODE" in refused.err, refused
