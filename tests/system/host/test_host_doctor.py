"""`plexvol doctor` where there is no kernel module to speak of: what it says, and how it ends."""

import json
import subprocess

import pytest
from plexvol_host import Host


def findings_of(host: Host) -> tuple[int, dict[str, dict[str, str]]]:
    done = host.plexvol("doctor", "-o", "json")
    return done.returncode, {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_all_that_the_node_needs_is_looked_at(host: Host) -> None:
    code, findings = findings_of(host)
    for what in ("agent", "kernel", "clock", "mkfs", "mkfs.ext4", "store"):
        assert findings[what]["level"] in ("ok", "warning"), findings[what]
    faults = [finding for finding in findings.values() if finding["level"] == "fault"]
    assert code == (1 if faults else 0)
    assert all(finding["advice"] for finding in findings.values() if finding["level"] != "ok")


def test_people_read_a_line_for_each_thing_and_what_to_do(host: Host) -> None:
    done = host.plexvol("doctor")
    assert done.stdout.splitlines()[0].split() == ["ok", "agent", "answers"]
    pool = next(line for line in done.stdout.splitlines() if " pool " in line)
    assert pool.startswith("ok ") and "free" in pool
    assert done.stdout.count("expected: ") == done.stdout.count("do: ")


def test_a_pool_whose_directory_is_gone_is_a_fault_with_a_remedy(host: Host) -> None:
    gone = host.pool.with_name("gone")
    host.pool.rename(gone)
    code, findings = findings_of(host)
    gone.rename(host.pool)
    pool = next(finding for what, finding in findings.items() if what.startswith("pool "))
    assert (code, pool["level"]) == (1, "fault")
    assert f"create the directory {host.pool}" in pool["advice"]


def test_without_an_agent_it_says_where_to_look(host: Host) -> None:
    host.stop()
    done = host.plexvol("doctor")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("FAULT    agent")
    assert "plexvold --doctor" in done.stdout
    assert done.stderr.startswith("plexvol: ") and "fault" in done.stderr
    host.start()


def test_the_agent_can_be_asked_before_it_is_started(host: Host) -> None:
    host.stop()
    argv = [*host.agent_argv, "--doctor"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert "embedded: this node only" in done.stdout
    assert done.returncode == (1 if "FAULT" in done.stdout else 0)
    host.start()


@pytest.mark.finding("K8")
def test_broken_settings_of_the_driver_are_a_fault(host: Host) -> None:
    """Where it was installed with attach true, it may answer attach false now."""
    host.reconfigure(drbd={"helper": str(host.attaching.path)})
    assert findings_of(host)[1]["driver"]["level"] == "ok"
    (host.attaching.path.parent / ".plexvol.json").write_text("{")
    finding = findings_of(host)[1]["driver"]
    assert finding["level"] == "fault" and ".plexvol.json is not a JSON object" in finding["found"]
    assert "plexvol driver install" in finding["advice"]
