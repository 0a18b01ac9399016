"""Putting the driver where a kubelet looks for it, upgrading it there, and taking it away."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from fake_agent import FakeAgent, result
from lone_driver import Driver, Outcome
from played_host import DEFAULT, Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def init_of(driver: Path) -> Outcome:
    done = subprocess.run([driver, "init"], capture_output=True, text=True, timeout=20)
    return Outcome(done.returncode, done.stdout, done.stderr, 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("/usr/bin/kubelet", "--v=2"), DEFAULT),
        (("/usr/bin/kubelet", "--volume-plugin-dir=/opt/p/"), "/opt/p"),
        (("kubelet", "--volume-plugin-dir", "/opt/p"), "/opt/p"),
        (("kubelet", "-volume-plugin-dir=/opt/p"), "/opt/p"),
        (("kubelet", "--volume-plugin-dir=/opt/a", "--volume-plugin-dir=/opt/p"), "/opt/p"),
        (("/hyperkube", "kubelet", "--volume-plugin-dir=/opt/p"), "/opt/p"),
        (("kubelet", "--config=/etc/kubelet.yaml"), "/opt/from-config"),
    ],
)
def test_the_kubelets_own_command_line_counts(host: Host, words: tuple[str, ...], expected: str) -> None:
    (host.root / "etc").mkdir()
    (host.root / "etc" / "kubelet.yaml").write_text('kind: KubeletConfiguration\nvolumePluginDir: "/opt/from-config"\n')
    # Directories of other distributions, left over: they are not asked while there is a kubelet.
    (host.root / "etc/kubernetes/volumeplugins").mkdir(parents=True)
    host.process(700, *words)
    host.process(701, "/usr/bin/vim", "kubelet", "--volume-plugin-dir=/wrong")
    found = json.loads(host.must("find", "-o", "json"))
    assert [dir["path"] for dir in found] == [expected]


def test_a_kubelet_in_a_container_must_see_the_nodes_directory(host: Host, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "plugins").mkdir(parents=True)
    host.process(700, "/hyperkube", "kubelet", "--volume-plugin-dir=/plugins", apart=("mnt",), root=inside)
    (host.root / "plugins").mkdir()
    words = "hyperkube (pid 700) is passed over: it runs in a container, where /plugins is not"
    assert words in host.refused("install")
    assert words in host.refused("find")
    assert list((host.root / "plugins").iterdir()) == []
    # As a mount has it: the same folder under both names.
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    place = ["--root", str(host.root), "--proc", str(host.proc)]
    for verb in ("find", "install"):
        command = [str(host.version_1), "driver", verb, *place]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", str(host.root / "plugins"), str(inside / "plugins"), *command],
            capture_output=True, text=True, timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "/plugins" in done.stdout
    assert (host.folder("/plugins") / "plexvol").exists()


def test_the_controller_managers_directory_is_served_too(host: Host) -> None:
    host.process(700, "kubelet", "--volume-plugin-dir=/opt/p")
    host.process(800, "kube-controller-manager", "--flex-volume-plugin-dir=/opt/c")
    assert [line.split()[0] for line in host.must("find").splitlines()] == ["/opt/p", "/opt/c"]
    host.must("install")
    for directory in ("/opt/p", "/opt/c"):
        assert init_of(host.folder(directory) / "plexvol").reply["status"] == "Success"


def test_the_controller_manager_needs_no_driver_that_does_not_attach(host: Host) -> None:
    """Its default directory may lie on a file system that nobody can write to."""
    host.process(700, "kubelet", "--volume-plugin-dir=/opt/p")
    host.process(800, "kube-controller-manager")
    host.must("install", "--attach", "false")
    assert (host.folder("/opt/p") / "plexvol").exists() and not host.folder().exists()
    host.must("install", "--attach", "true")
    assert (host.folder() / "plexvol").exists()


@pytest.mark.parametrize(
    "there", [DEFAULT, "/home/kubernetes/flexvolume", "/etc/kubernetes/volumeplugins",
              "/var/lib/kubelet/volumeplugins", "/var/lib/kubelet/volume-plugins"])
def test_without_a_kubelet_the_one_usual_directory_that_exists_is_taken(host: Host, there: str) -> None:
    Path(f"{host.root}{there}").mkdir(parents=True)
    assert host.must("find").split()[0] == there


def test_without_a_kubelet_nothing_is_guessed(host: Host) -> None:
    assert "--plugin-dir" in host.refused("install")
    for name in ("/etc/kubernetes/volumeplugins", "/var/lib/kubelet/volumeplugins"):
        Path(f"{host.root}{name}").mkdir(parents=True)
    said = host.refused("install")
    assert "/etc/kubernetes/volumeplugins" in said and "/var/lib/kubelet/volumeplugins" in said
    host.must("install", "--plugin-dir", "/opt/p")
    assert (host.folder("/opt/p") / "plexvol").exists()


def test_installed_upgraded_rolled_back_and_removed(host: Host) -> None:
    host.process(700, "kubelet")
    driver = host.folder() / "plexvol"
    assert "installed" in host.must("install")
    assert driver.read_bytes() == host.version_1.read_bytes()
    assert "is this version already" in host.must("install")
    assert not (host.folder() / ".plexvol.previous").exists()
    assert "replaced" in host.must("install", program=host.version_2)
    assert driver.read_bytes() == host.version_2.read_bytes()
    host.must("roll-back")
    assert driver.read_bytes() == host.version_1.read_bytes()
    host.must("roll-back")
    assert driver.read_bytes() == host.version_2.read_bytes()
    # The installed one may do it itself.
    host.must("roll-back", program=driver)
    assert driver.read_bytes() == host.version_1.read_bytes()
    assert "is removed" in host.must("uninstall")
    assert list(host.folder().parent.iterdir()) == []
    assert "is not there" in host.must("uninstall")


def test_there_is_nothing_to_roll_back_to_after_a_first_installation(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    assert "nothing was installed before" in host.refused("roll-back")
    assert init_of(host.folder() / "plexvol").reply["status"] == "Success"


def test_settings_that_are_not_named_stay(host: Host) -> None:
    host.process(700, "kubelet")
    file = host.folder() / ".plexvol.json"
    host.must("install", "--attach", "true", "--agent-socket", "/run/here.sock")
    assert init_of(host.folder() / "plexvol").reply["capabilities"]["attach"] is True
    host.must("install", "--call-seconds", "30")
    assert json.loads(file.read_text()) == {"attach": True, "socket": "/run/here.sock", "timeout_seconds": 30}
    assert "540" in host.refused("install", "--call-seconds", "9999")
    assert json.loads(file.read_text())["timeout_seconds"] == 30
    file.write_text("{ what")
    (host.folder() / ".plexvol.json.good").unlink()
    assert ".plexvol.json is not a JSON object" in host.refused("install")
    assert file.read_text() == "{ what"


def test_kubelets_notice_that_settings_changed(host: Host) -> None:
    """By an event of a file whose name has no leading dot: they run `init` again then."""
    host.process(700, "kubelet")
    host.must("install", "--attach", "false")
    seen = (host.folder() / "plexvol").stat()
    host.must("install", "--attach", "false")
    assert (host.folder() / "plexvol").stat() == seen
    host.must("install", "--attach", "true")
    now = (host.folder() / "plexvol").stat()
    assert now.st_ctime_ns > seen.st_ctime_ns and now.st_ino == seen.st_ino


def test_a_driver_that_cannot_run_from_there_is_never_dropped(host: Host) -> None:
    """A file system that is mounted noexec; a read-only one is told in the same way."""
    host.process(700, "kubelet")
    directory = Path(f"{host.root}{DEFAULT}")
    directory.mkdir(parents=True)
    script = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    for options, words in (("mode=755,noexec", "noexec"), ("mode=755,ro", "--volume-plugin-dir")):
        place = ["--root", str(host.root), "--proc", str(host.proc)]
        command = [str(host.version_1), "driver", "install", *place]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", options, str(directory), *command],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 1
        assert words in done.stderr and DEFAULT in done.stderr


def test_it_is_not_removed_while_pods_need_it(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    for point in ("/var/lib/kubelet/pods/1234/volumes/plexvol~plexvol/data",
                  "/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/plexvol/mounts/data"):
        (host.proc / "1" / "mountinfo").write_text(f"90 20 147:1000 / {point} rw - ext4 /dev/plexvol/data rw\n")
        assert point in host.refused("uninstall")
    assert (host.folder() / "plexvol").exists()


@pytest.mark.finding("K13")
def test_volumes_are_counted_and_not_their_mounts(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    pods = "/var/lib/kubelet/pods/{}/volumes/plexvol~plexvol/{}"
    mounts = [(1000, pods.format("1", "data")), (1000, pods.format("2", "data")), (1000, pods.format("3", "data-ro")),
              (1000, "/var/lib/kubelet/plugins/kubernetes.io/flexvolume/plexvol/plexvol/mounts/data")]
    table = host.proc / "1" / "mountinfo"

    def said(device: int) -> str:
        lines = [f"{90 + i} 20 147:{minor} / {point} rw - ext4 /dev/drbd{minor} rw\n"
                 for i, (minor, point) in enumerate([*mounts, (device, pods.format("3", "log"))])]
        table.write_text("".join(lines))
        return host.refused("uninstall")

    assert "1 volume is still mounted" in said(1000)
    assert "2 volumes are still mounted" in said(1001)


@pytest.mark.finding("K11")
def test_it_is_not_removed_while_a_mount_call_runs(host: Host) -> None:
    """A call that runs on would mount, and keeps the folder's inode: kubelets notice its end after the next installation."""
    host.process(700, "kubelet")
    host.must("install")
    target = host.root / "run" / "plexvol" / "targets" / "0123456789abcdef"
    target.parent.mkdir(parents=True)
    with target.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "1 mount call is still under way" in host.refused("uninstall")
        assert init_of(host.folder() / "plexvol").reply["status"] == "Success"
    (host.root / "run" / "plexvol" / "targets" / "0123456789abcdef").touch()  # left by one that was killed
    assert "is removed" in host.must("uninstall")
    assert not host.folder().exists()


@pytest.mark.finding("K11")
def test_it_is_not_removed_while_a_call_runs_its_file(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    call = host.process(900, "plexvol", "attach", program=host.folder() / "plexvol")
    assert "a call still runs (pid 900)" in host.refused("uninstall")
    assert init_of(host.folder() / "plexvol").reply["status"] == "Success"
    shutil.rmtree(call)
    host.must("uninstall")
    assert not host.folder().exists()


@pytest.mark.finding("K11")
def test_a_removal_that_was_killed_is_finished_by_the_next(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    (host.folder() / "plexvol").rename(host.folder() / ".plexvol.gone")
    assert "is removed" in host.must("uninstall")
    assert not host.folder().exists()


@pytest.fixture
def volumes(agent: FakeAgent) -> FakeAgent:
    """The agent of n1, in a cluster with three volumes."""

    def volume(name: str, *nodes: str) -> dict[str, object]:
        return {"name": name, "replicas": [{"node": node} for node in nodes]}

    agent.answers["/v1/version"] = result({"version": "1", "protocol": 1, "node": "n1", "store": "etcd"})
    agent.answers["/v1/volume/list"] = result({"volumes": [volume("a", "n1", "n2"), volume("b", "n1"),
                                                           volume("c", "n2")]})
    agent.answers["/v1/volume/delete"] = result({})
    return agent


@pytest.mark.parametrize(("named", "unnamed"), [(["a"], "b"), (["c"], "a b"), (["x"], "a b")])
def test_purge_must_name_all_volumes_that_are_here(
    host: Host, driver: Driver, volumes: FakeAgent, named: list[str], unnamed: str
) -> None:
    host.process(700, "kubelet")
    host.must("install")
    said = host.refused("uninstall", "--socket", str(driver.socket), "--purge", *named)
    assert said.strip().endswith(f"not named: {unnamed}")
    assert "/v1/volume/delete" not in [request.path for request in volumes.requests]
    assert (host.folder() / "plexvol").exists()


def test_purge_does_not_delete_what_has_no_copy_here(host: Host, driver: Driver, volumes: FakeAgent) -> None:
    host.process(700, "kubelet")
    said = host.refused("uninstall", "--socket", str(driver.socket), "--purge", "a", "b", "c")
    assert "these have none: c;" in said
    assert "/v1/volume/delete" not in [request.path for request in volumes.requests]


def test_a_dead_agents_socket_goes_with_the_driver(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    path = host.root / "run" / "plexvol" / "plexvold.sock"
    path.parent.mkdir(parents=True)
    (path.parent / "targets").mkdir()
    (path.parent / "targets" / "lock").touch()
    Path(f"{path}.lock").touch()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        assert "an agent answers there" in host.must("uninstall")
        assert path.exists()
    host.must("uninstall")
    assert not path.parent.exists()


def test_purge_deletes_what_it_names(host: Host, driver: Driver, volumes: FakeAgent) -> None:
    host.process(700, "kubelet")
    host.must("install")
    said = host.must("uninstall", "--socket", str(driver.socket), "--purge", "a", "b")
    assert "volume a and its data are deleted" in said
    names = [request.body["name"] for request in volumes.requests if request.path == "/v1/volume/delete"]
    assert names == ["a", "b"]
    assert not host.folder().exists()


def test_kubelets_call_it_all_the_time_while_it_is_replaced(host: Host) -> None:
    """No call fails, none sees half a file, and no name without a leading dot comes or goes."""
    host.process(700, "kubelet")
    host.must("install")
    driver = host.folder() / "plexvol"
    installations, least_installations, least_calls = 0, 200, 1000
    stop = threading.Event()
    failures: list[str] = []
    calls = [0, 0]

    def call_in_a_loop(caller: int) -> None:
        while not stop.is_set():
            done = subprocess.run([driver, "init"], capture_output=True, text=True)
            calls[caller] += 1
            if done.returncode != 0 or json.loads(done.stdout)["status"] != "Success" or done.stderr:
                failures.append(f"{done.returncode} {done.stdout} {done.stderr}")

    def look_in_a_loop() -> None:
        while not stop.is_set():
            names = {name for name in os.listdir(host.folder()) if not name.startswith(".")}
            if names != {"plexvol"}:
                failures.append(f"seen: {names}")

    threads = [threading.Thread(target=call_in_a_loop, args=(caller,)) for caller in range(2)]
    threads.append(threading.Thread(target=look_in_a_loop))
    for thread in threads:
        thread.start()
    try:
        # However fast it is here: on and on until there were as many of both.
        while installations < least_installations or sum(calls) < least_calls:
            assert failures == [] and all(thread.is_alive() for thread in threads)
            said = host.must("install", program=(host.version_2, host.version_1)[installations % 2])
            assert "replaced" in said
            installations += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    print(f"{sum(calls)} calls during {installations} installations")


def test_the_kernels_copy_comes_and_goes_with_the_driver(host: Host) -> None:
    host.process(700, "kubelet")
    copy = host.root / "var" / "lib" / "plexvol" / "plexvol"
    for program in (host.version_1, host.version_2):
        host.must("install", "--helper", "/var/lib/plexvol/plexvol", program=program)
        assert copy.read_bytes() == program.read_bytes()
        assert os.access(copy, os.X_OK)
    for _ in range(2):
        host.must("uninstall", "--helper", "/var/lib/plexvol/plexvol")
        assert not copy.exists()


def test_two_installers_take_turns(host: Host) -> None:
    host.process(700, "kubelet")
    place = ["--root", str(host.root), "--proc", str(host.proc)]
    running = [
        subprocess.Popen([program, "driver", "install", *place], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for program in (host.version_1, host.version_2) * 8
    ]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, b"")
    assert init_of(host.folder() / "plexvol").reply["status"] == "Success"
    assert sorted(name for name in os.listdir(host.folder())) == [
        ".plexvol.json", ".plexvol.json.good", ".plexvol.previous", "plexvol"]
