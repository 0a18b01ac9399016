"""Tests of the lab itself: what the product's tests take for granted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab import CommandFailed, CommandTimeout, Lab, LabError, MachineLost, Node, etcd, rundir, wait_until
from lab.paths import CHECKOUT, LAB_SOURCE

PLEXLAB = LAB_SOURCE / "plexlab"


def ping(source: Node, target: Node) -> bool:
    return source.run(["/bin/busybox", "ping", "-c", "1", "-W", "1", target.address]).code == 0


def echo_requests_received(node: Node) -> int:
    """How often others asked this node: their requests arrived, whether or not our answers did."""
    names, values = [line.split() for line in node.read_file("/proc/net/snmp").decode().splitlines() if "Icmp:" in line]
    return int(values[names.index("InEchos")])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Commands


def test_machine_is_a_node_of_its_own(lab3: Lab) -> None:
    for node in lab3.nodes:
        assert node.state == "ready"
        assert node.check(["hostname"]).text == node.name
        assert node.address in node.check(["ip", "-br", "addr", "show", "eth0"]).text
        modules = node.read_file("/proc/modules").decode()
        assert "drbd " in modules and "dm_mod " in modules


def test_result_has_code_and_both_outputs(lab3: Lab) -> None:
    result = lab3.node("n1").run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")


def test_argv_is_no_shell_text(lab3: Lab) -> None:
    words = ["a b", "$HOME", "*", "", "\u00e9", "'\""]
    assert lab3.node("n1").check(["printf", "%s\\n", *words]).stdout.decode().split("\n")[:-1] == words


def test_environment_and_binary_stdin_arrive(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    assert n1.check(["printenv", "WORD"], env={"WORD": "two words"}).stdout == b"two words\n"
    data = bytes(range(256)) * 8192
    assert n1.check(["cat"], stdin=data).stdout == data
    assert n1.check(["cat"]).stdout == b""


def test_signal_is_told_as_by_a_shell(lab3: Lab) -> None:
    assert lab3.node("n1").run(["sh", "-c", "kill -TERM $$"]).code == 128 + signal.SIGTERM


def test_missing_program_is_code_127(lab3: Lab) -> None:
    result = lab3.node("n1").run(["no-such-program"])
    assert result.code == 127 and b"no-such-program" in result.stderr


def test_check_raises_with_all_that_was_said(lab3: Lab) -> None:
    with pytest.raises(CommandFailed, match="(?s)n1.*exit code 3.*half done.*no space"):
        lab3.node("n1").check(["sh", "-c", "echo half done; echo no space >&2; exit 3"])


def test_timeout_ends_the_command_and_its_children(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    with pytest.raises(CommandTimeout, match="0.5 s"):
        n1.run(["sh", "-c", "sleep 4321; true"], timeout=0.5)
    assert n1.run(["pgrep", "-f", "sleep 4321"]).code == 1


def test_background_child_does_not_delay_the_answer(lab3: Lab) -> None:
    assert lab3.node("n1").check(["sh", "-c", "sleep 5 & echo done"], timeout=4).text == "done"


def test_many_commands_run_at_once(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    meet = "touch /tmp/meet.$0; until [ $(ls /tmp/meet.* | wc -l) = 8 ]; do sleep 0.1; done; echo $0"
    commands = [n1.popen(["sh", "-c", meet, str(number)]) for number in range(8)]
    assert [command.wait().text for command in commands] == [str(number) for number in range(8)]
    n1.sh("rm /tmp/meet.*")


def test_threads_may_share_a_node(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    words = [str(number) for number in range(6)]
    with ThreadPoolExecutor(max_workers=len(words)) as threads:
        assert list(threads.map(lambda word: n1.check(["echo", word]).text, words)) == words


def test_lines_come_while_the_command_runs(lab3: Lab) -> None:
    with lab3.node("n1").popen(["sh", "-c", "echo one; echo two; sleep 1000"]) as command:
        assert [command.line(), command.line()] == ["one", "two"]
        assert command.poll() is None
        with pytest.raises(CommandTimeout):
            command.line(timeout=0.1)
        command.kill()
        assert command.wait().code == 128 + signal.SIGKILL
        assert command.line() is None


def test_command_ends_with_its_caller(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    with n1.popen(["sleep", "8765"]):
        pass
    wait_until(lambda: n1.run(["pgrep", "-f", "sleep 8765"]).code == 1, 120, "the command is gone")


def test_command_line_passes_output_and_code_through(lab3: Lab) -> None:
    plexlab = [PLEXLAB, "--dir", lab3.directory]
    done = subprocess.run([*plexlab, "run", "n2", "sh", "-c", "echo out; echo err >&2; exit 9"], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"out\n", b"err\n")
    done = subprocess.run([*plexlab, "run", "--timeout", "0.5", "n2", "sleep", "100"], capture_output=True)
    assert done.returncode == 124
    assert b"n3      ready" in subprocess.run([*plexlab, "status"], capture_output=True, check=True).stdout
    done = subprocess.run([*plexlab, "run", "n9", "true"], capture_output=True)
    assert done.returncode == 125 and b"no node n9" in done.stderr


# What a machine sees of the host


def test_program_built_again_is_seen_at_once(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    program = CHECKOUT / "build" / f"program-{os.getpid()}"
    old = []
    try:
        for word in ["first", "second", "third"]:
            program.write_text(f"#!/bin/sh\necho {word}\nread line <&3\n")
            program.chmod(0o755)
            old.append(n1.popen(["sh", "-c", f"mkfifo /tmp/{word}; exec {program} 3<>/tmp/{word}"]))
            assert old[-1].line() == word
        assert [command.poll() for command in old] == [None, None, None]
    finally:
        program.unlink()
        for command in old:
            command.close()


def test_host_is_not_changed_from_inside(lab3: Lab) -> None:
    mark = Path(f"/etc/plexlab-{os.getpid()}")
    lab3.node("n1").write_file(str(mark), "only in the memory of n1")
    assert not mark.exists()
    assert lab3.node("n1").run(["touch", str(lab3.directory / "file")]).code != 0


# The network


def test_cut_separates_two_and_heal_joins_them(restored_lab3: Lab) -> None:
    n1, n2, n3 = restored_lab3.nodes
    assert ping(n1, n2) and ping(n2, n3)
    restored_lab3.cut(n1, n2)
    assert not ping(n1, n2) and not ping(n2, n1)
    assert ping(n1, n3) and ping(n2, n3)
    assert n1.check(["echo", "still here"]).text == "still here"
    restored_lab3.heal(n1, n2)
    assert ping(n1, n2)


def test_node_is_cut_from_everyone(restored_lab3: Lab) -> None:
    n1, n2, n3 = restored_lab3.nodes
    restored_lab3.cut("n3")
    assert not ping(n1, n3) and not ping(n3, n2)
    assert ping(n1, n2)
    restored_lab3.heal()
    assert ping(n1, n3)


def test_one_way_cut_loses_only_what_the_first_sends(restored_lab3: Lab) -> None:
    n1, n2, _ = restored_lab3.nodes
    assert ping(n1, n2)  # each knows the other's address now
    restored_lab3.cut(n1, n2, one_way=True)
    before = [echo_requests_received(node) for node in (n1, n2)]
    assert not ping(n1, n2) and not ping(n2, n1)
    after = [echo_requests_received(node) for node in (n1, n2)]
    assert after[0] > before[0] and after[1] == before[1]


LISTENING = """
import signal, socket, sys
listeners = [socket.create_server(("0.0.0.0", int(port)), backlog=50) for port in sys.argv[1:]]
print("listens", flush=True)
signal.pause()
"""
CONNECTING = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"


def test_one_port_is_cut_and_the_others_are_not(restored_lab3: Lab) -> None:
    n1, n2, n3 = restored_lab3.nodes

    def reaches(node: Node, port: int) -> bool:
        return node.run(["python3", "-I", "-S", "-c", CONNECTING, n2.address, str(port)]).code == 0

    with n2.popen(["python3", "-I", "-S", "-c", LISTENING, "7001", "7002"]) as listener:
        assert listener.line() == "listens"
        assert reaches(n1, 7001) and reaches(n1, 7002)
        restored_lab3.cut(n1, n2, port=7001)
        assert not reaches(n1, 7001)
        assert reaches(n1, 7002) and reaches(n3, 7001) and ping(n1, n2)
        restored_lab3.heal(n1, n2)
        assert reaches(n1, 7001)
        listener.kill()


def test_delay_slows_every_packet(restored_lab3: Lab) -> None:
    n1, n2, _ = restored_lab3.nodes
    assert ping(n1, n2)
    restored_lab3.delay(0.2)
    output = n1.check(["/bin/busybox", "ping", "-c", "1", n2.address]).text
    restored_lab3.delay(0)
    assert float(output.rpartition("= ")[2].split("/")[0]) >= 400


# Power


def test_power_loss_keeps_the_disks_only(restored_lab3: Lab) -> None:
    n3 = restored_lab3.node("n3")
    n3.sh("echo kept >/persist/file; echo kept >/var/lib/plexvol/file; echo lost >/root/file; sync")
    n3.sh("lvcreate -qq -y -Wy -L 8m -n kept vg0; echo kept >/dev/vg0/kept; sync")
    n3.start_service("ticker", ["sh", "-c", "while :; do echo tick $WORD; sleep 0.2; done"], env={"WORD": "tock"})
    running = n3.popen(["sleep", "1000"])

    n3.power_off()
    assert n3.state == "off"
    with pytest.raises(MachineLost):
        running.wait()
    with pytest.raises(LabError, match="n3 is off"):
        n3.run(["true"])
    assert restored_lab3.node("n1").check(["echo", "others live"]).text == "others live"

    n3.power_on()
    assert n3.sh("cat /persist/file /var/lib/plexvol/file").text == "kept\nkept"
    assert n3.run(["cat", "/root/file"]).code != 0
    assert n3.check(["head", "-c", "5", "/dev/vg0/kept"]).text == "kept"
    assert ping(n3, restored_lab3.node("n1"))

    n3.check(["truncate", "-s", "0", n3.service_log_path("ticker")])
    wait_until(lambda: b"tick tock" in n3.read_file(n3.service_log_path("ticker")), 120, "the service runs again")
    n3.stop_service("ticker")
    n3.sh("rm /persist/file /var/lib/plexvol/file; lvremove -qq -y vg0/kept")


def test_paused_machine_hangs_and_goes_on(restored_lab3: Lab) -> None:
    n1, _, n3 = restored_lab3.nodes
    n3.pause()
    assert n3.state == "paused"
    assert not ping(n1, n3)
    with pytest.raises(CommandTimeout):
        n3.run(["true"], timeout=0.5)
    n3.resume()
    assert n3.check(["echo", "awake"]).text == "awake"
    assert ping(n1, n3)


def test_machine_that_ends_itself_is_off(restored_lab3: Lab) -> None:
    n3 = restored_lab3.node("n3")
    with pytest.raises(MachineLost):
        n3.run(["/bin/busybox", "poweroff", "-f"])
    wait_until(lambda: n3.state == "off", 120, "n3 is off")
    n3.power_on()


# What the product stands on


def test_etcd_survives_the_loss_of_a_member(restored_lab3: Lab) -> None:
    n1, n2, _ = restored_lab3.nodes
    restored_lab3.start_etcd()

    def put(node: Node, value: str) -> bool:
        asked = {"key": etcd.encode("word"), "value": etcd.encode(value)}
        return etcd.ask(node, node.etcd_url, "put", asked).code == 0

    assert put(n1, "first")
    n1.kill_service("etcd")
    # When n1 was the leader, what is asked before the election is over fails.
    wait_until(lambda: put(n2, "second"), 120, "the two others take a write")
    n1.resume_service("etcd")
    etcd.wait_healthy(n1)
    found = json.loads(etcd.ask(n1, n1.etcd_url, "range", {"key": etcd.encode("word")}).stdout)
    assert found["kvs"][0]["value"] == etcd.encode("second")
    restored_lab3.stop_etcd()


def test_thin_volume_and_snapshot(lab3: Lab) -> None:
    n1 = lab3.node("n1")
    n1.sh(
        """
        lvcreate -qq -y -V 256m --thinpool thin -n origin vg0
        mkfs.ext4 -q /dev/vg0/origin
        mkdir -p /tmp/origin /tmp/frozen
        mount /dev/vg0/origin /tmp/origin
        echo before >/tmp/origin/file
        sync
        lvcreate -qq -y -s -n frozen -kn vg0/origin
        echo after >/tmp/origin/file
        lvchange -qq -ay vg0/frozen
        mount -o ro,noload /dev/vg0/frozen /tmp/frozen
        """
    )
    assert n1.sh("cat /tmp/origin/file /tmp/frozen/file").text == "after\nbefore"
    n1.sh("umount /tmp/origin /tmp/frozen; lvremove -qq -y vg0/frozen vg0/origin")


DRBD_RESOURCE = """
resource smoke {
  protocol C;
  device minor 1000;
  disk /dev/vg0/smoke;
  meta-disk /dev/vg0/smoke.meta;
  on n1 { address 10.77.0.1:7000; }
  on n2 { address 10.77.0.2:7000; }
}
"""


def test_drbd_carries_a_file_system_to_the_peer(restored_lab3: Lab) -> None:
    n1, n2, _ = restored_lab3.nodes

    def bring_up(node: Node) -> None:
        node.write_file("/etc/drbd.d/smoke.res", DRBD_RESOURCE)
        node.sh("lvcreate -qq -y -Wy -L 64m -n smoke vg0; lvcreate -qq -y -Wy -L 4m -n smoke.meta vg0")
        node.sh("drbdadm create-md --force smoke; drbdadm up smoke")

    def state(node: Node, what: str) -> Callable[[], bool]:
        return lambda: what in node.read_file("/proc/drbd").decode()

    restored_lab3.on_all(bring_up, [n1, n2])
    wait_until(state(n1, "cs:Connected"), 120, "the two sides are connected")
    n1.check(["drbdadm", "new-current-uuid", "--clear-bitmap", "smoke"])
    wait_until(state(n1, "ds:UpToDate/UpToDate"), 120, "both sides are up to date")
    n1.sh("drbdadm primary smoke; mkfs.ext4 -q /dev/drbd1000")
    n1.sh("mount /dev/drbd1000 /mnt; echo carried >/mnt/file; umount /mnt; drbdadm secondary smoke")
    n2.sh("drbdadm primary smoke; mount /dev/drbd1000 /mnt")
    assert n2.read_file("/mnt/file") == b"carried\n"

    n2.sh("umount /mnt; drbdadm secondary smoke")
    restored_lab3.on_all(
        lambda node: node.sh("drbdadm down smoke; lvremove -qq -y vg0/smoke vg0/smoke.meta; rm /etc/drbd.d/smoke.res"),
        [n1, n2],
    )


# Nothing is left behind

HOLDER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lab import Lab
lab = Lab(nodes=2)
lab.start(owner=os.getpid())
print(lab.directory, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("victim", ["owner", "supervisor"])
def test_nothing_outlives_a_killed(victim: str, lab3: Lab) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, LAB_SOURCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        directory = Path(holder.stdout.readline().strip())
        status = Lab.attach(directory).status()
        processes = [status["pid"], status["switch_pid"], *(node["pid"] for node in status["nodes"])]
        assert all(is_running(pid) for pid in processes)
        os.kill(holder.pid if victim == "owner" else status["pid"], signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in processes), 120, "all processes are gone")
        if victim == "supervisor":
            rundir.sweep()  # as the start of the next lab does
        wait_until(lambda: not directory.exists(), 120, "the state directory is gone")
        holder.kill()
    assert lab3.node("n1").check(["echo", "untouched"]).text == "untouched"
