"""The installer runs as root: nobody else on the node, in a pod or beside it, can stop it, steer it, or make it execute anything."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from played_host import DEFAULT, NOBODY, Evil, Host

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "host"))

from isolated import Machine  # noqa: E402

pytestmark = [
    pytest.mark.finding("S1"),
    pytest.mark.skipif(os.geteuid() != 0, reason="attacks on root need root"),
]

AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    # Of the directories that pytest makes, other users may not even pass the first ones.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    return Host(tmp_path)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Namespaces of its own, so that what runs on this host is no part of the test."""
    machine = Machine()
    yield machine
    machine.power_off()


def start(machine: Machine, where: list[str], root: Path) -> "subprocess.Popen[str]":
    """A process whose name, arguments and command line are a kubelet's. Python, under another name."""
    program = root / "kubelet"
    if not program.exists():
        shutil.copy(os.path.realpath("/usr/bin/python3"), program)
    script = "import os, signal; print('up', flush=True); signal.pause()"
    environment = {"PYTHONHOME": "/usr"}
    process = machine.popen([*where, program, "-c", script, f"--volume-plugin-dir={Evil.PATH}"], env={**os.environ, **environment},
                            stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


STRANGERS = {
    "a user's process": AS_NOBODY,
    "a pod's": ["unshare", "--mount", "--pid", "--fork", "--kill-child"],
    "a pod's, with users of its own": ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"],
    "a user's, with users of its own": [*AS_NOBODY, "unshare", "--user", "--map-root-user"],
}


@pytest.mark.parametrize("where", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_process_is_no_kubelet_by_its_name(host: Host, machine: Machine, where: list[str]) -> None:
    """Neither believed, nor a reason to fail: the one usual directory that exists is taken."""
    evil = Evil(host)
    Path(f"{host.root}{DEFAULT}").mkdir(parents=True)
    process = start(machine, where, host.root.parent)
    for verb, program in (("find", host.version_1), ("install", host.version_1), ("install", host.version_2),
                          ("roll-back", host.version_1), ("uninstall", host.version_1)):
        # With the machine's own /proc.
        said = machine.run(program, "driver", verb, "--root", host.root)
        assert DEFAULT in said and Evil.PATH not in said
        assert "plexvol: note: 1 other processes called like a kubelet" in said
        evil.check()
    assert process.poll() is None


PLAYED = {
    "in a pod of a kubelet's": {"cgroup": "/kubepods/besteffort/pod0b9a4c3e-6b1f-4d5e-8f37-1c2d3e4f5a6b/0123"},
    "in a pod under systemd": {"cgroup": "/kubepods.slice/kubepods-pod0b9a4c3e_6b1f_4d5e_8f37_1c2d3e4f5a6b.slice/x.scope"},
    "in a pod, seen from another cgroup namespace": {"cgroup": "/../../pod0b9a4c3e-6b1f-4d5e-8f37-1c2d3e4f5a6b/0123"},
    "in a static pod": {"cgroup": "/some/pod8e1fa1c5a1b2c3d4e5f60718293a4b5c/0123"},
    "sudo, which asks for a password": {"program": "setuid"},
    "a program that others may write to": {"program": "writable"},
    "a program of somebody else's": {"program": "foreign"},
    "somebody's setuid program": {"uids": f"{NOBODY}\t0\t0\t0"},
    "with users of its own": {"apart": ("user",)},
    "with processes of its own": {"apart": ("pid",)},
}


@pytest.mark.parametrize("kind", PLAYED.values(), ids=PLAYED.keys())
@pytest.mark.parametrize("name", ["kubelet", "kube-controller-manager"])
def test_only_what_root_of_the_node_started_is_asked(host: Host, name: str, kind: dict[str, str]) -> None:
    evil = Evil(host)
    Path(f"{host.root}{DEFAULT}").mkdir(parents=True)
    if "program" in kind:
        program = host.root.parent / "program"
        program.write_bytes(b"\x7fELF")
        program.chmod({"setuid": 0o4755, "writable": 0o757}.get(kind["program"], 0o755))
        if kind["program"] == "foreign":
            os.chown(program, NOBODY, NOBODY)
        kind = {"program": program}  # type: ignore[dict-item]
    host.process(700, name, "ls", f"--volume-plugin-dir={Evil.PATH}", f"--flex-volume-plugin-dir={Evil.PATH}", **kind)  # type: ignore[arg-type]
    done = host.run("find")
    assert (done.returncode, done.stdout.split()[0], len(done.stdout.splitlines())) == (0, DEFAULT, 1)
    assert "not asked" in done.stderr and "pid 700" in done.stderr
    for program_of in (host.version_1, host.version_2):
        assert host.run("install", program=program_of).returncode == 0
        evil.check()


def test_a_containers_links_do_not_lead_out_of_it(host: Host, tmp_path: Path) -> None:
    """Its --volume-plugin-dir must be this node's folder, and not a link that only looks like it from here."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (host.root / "plugins").mkdir()
    (inside / "plugins").symlink_to("../root/plugins")
    host.process(700, "kubelet", "--volume-plugin-dir=/plugins", apart=("mnt",), root=inside)
    assert "is not this node's folder" in host.refused("install")
    assert list((host.root / "plugins").iterdir()) == []


def open_to_others(path: Path) -> None:
    path.chmod(0o777)


def open_and_sticky(path: Path) -> None:
    path.chmod(0o1777)


def open_to_a_group(path: Path) -> None:
    path.chmod(0o775)


def somebody_elses(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def somebody_elses_link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


BAD = {"open to others": (open_to_others, "(mode 0777)"), "open and sticky": (open_and_sticky, "(mode 1777)"),
       "open to a group": (open_to_a_group, "(mode 0775)"), "somebody else's": (somebody_elses, "user 65534"),
       "somebody else's link": (somebody_elses_link, "user 65534")}


@pytest.mark.parametrize(("spoil", "words"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("component", ["/opt", "/opt/a", "/opt/a/plugins", "/opt/a/plugins/plexvol~plexvol"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_each_directory_on_the_way_must_be_roots(
    host: Host, spoil: Callable[[Path], None], words: str, component: str, named: bool
) -> None:
    """A named one is an error; the kubelet's own is passed over, and there is no other."""
    host.process(700, "kubelet", "--volume-plugin-dir=/opt/a/plugins")
    place = ["--plugin-dir", "/opt/a/plugins"] if named else []
    host.must("install")
    evil = Evil(host, "/opt/a/plugins/evil/plugins")
    folder = host.folder("/opt/a/plugins")
    evil.plant(folder / ".plexvol.previous")
    spoil(Path(f"{host.root}{component}"))
    before = host.files()
    for verb, program in (("install", host.version_2), ("roll-back", host.version_1), ("uninstall", host.version_1)):
        done = host.run(verb, *place, program=program)
        assert done.returncode == 1, verb
        if not (spoil is somebody_elses_link and component.endswith("~plexvol")):
            assert words in done.stderr and f"{host.root}{component}:" in done.stderr
        assert host.files() == before
        assert not evil.told.exists()


def test_roots_own_links_are_followed_within_the_root(host: Host) -> None:
    """Absolute ones, too: they are this node's, and not those of the container that the installer runs in."""
    (host.root / "data" / "kubelet").mkdir(parents=True)
    (host.root / "var" / "lib").mkdir(parents=True)
    (host.root / "var" / "lib" / "kubelet").symlink_to("/data/there")
    (host.root / "data" / "there").symlink_to("../../data/./kubelet")
    host.process(700, "kubelet", "--volume-plugin-dir=/var/lib/kubelet/volumeplugins")
    host.must("install")
    assert (host.folder("/data/kubelet/volumeplugins") / "plexvol").exists()
    host.must("uninstall")
    assert not host.folder("/data/kubelet/volumeplugins").exists()


def test_links_without_an_end_are_refused(host: Host) -> None:
    (host.root / "a").symlink_to("b")
    (host.root / "b").symlink_to("a")
    assert "too many symbolic links" in host.refused("install", "--plugin-dir", "/a/plugins")


def as_foreign_program(evil: Evil, file: Path) -> None:
    evil.plant(file)


def as_open_program(evil: Evil, file: Path) -> None:
    evil.plant(file)
    os.chown(file, 0, 0)
    file.chmod(0o777)


def as_link(evil: Evil, file: Path) -> None:
    file.symlink_to(evil.place / "plexvol~plexvol" / "plexvol")


def as_fifo(evil: Evil, file: Path) -> None:
    os.mkfifo(file)


def as_folder(evil: Evil, file: Path) -> None:
    file.mkdir()
    evil.plant(file / "plexvol")


@pytest.mark.parametrize("plant", [as_foreign_program, as_open_program, as_link, as_fifo, as_folder])
def test_only_roots_own_program_is_rolled_back_to(host: Host, plant: Callable[[Evil, Path], None]) -> None:
    host.process(700, "kubelet")
    host.must("install")
    host.must("install", program=host.version_2)
    evil = Evil(host)
    previous = host.folder() / ".plexvol.previous"
    previous.unlink()
    plant(evil, previous)
    said = host.refused("roll-back")
    assert f"{previous}: not used: " in said
    assert (host.folder() / "plexvol").read_bytes() == host.version_2.read_bytes()
    evil.check()


@pytest.mark.parametrize("plant", [as_foreign_program, as_open_program, as_link, as_fifo])
@pytest.mark.parametrize("name", ["plexvol", ".plexvol.new", ".plexvol.back", ".plexvol.previous.new", ".plexvol.json.new"])
def test_what_lies_in_the_way_is_replaced_and_neither_run_nor_followed(
    host: Host, name: str, plant: Callable[[Evil, Path], None]
) -> None:
    host.process(700, "kubelet")
    host.must("install")
    evil = Evil(host)
    file = host.folder() / name
    file.unlink(missing_ok=True)
    plant(evil, file)
    assert host.run("install", "--attach", "true", program=host.version_2).returncode == 0
    evil.check()
    driver = host.folder() / "plexvol"
    assert driver.read_bytes() == host.version_2.read_bytes() and not driver.is_symlink() and driver.stat().st_uid == 0
    if name == "plexvol":
        assert "nothing was installed before" in host.refused("roll-back")
    assert host.run("roll-back").returncode == (1 if name == "plexvol" else 0)
    evil.check()


@pytest.mark.parametrize("name", [".plexvol~plexvol.new", ".plexvol~plexvol.gone", "plexvol~plexvol"])
def test_nothing_is_removed_through_a_link(host: Host, name: str) -> None:
    victim = host.root / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    directory = Path(f"{host.root}{DEFAULT}")
    directory.mkdir(parents=True)
    (directory / name).symlink_to(victim)
    host.process(700, "kubelet")
    said = [host.run(verb).stderr for verb in ("install", "uninstall")]
    assert any(f"{directory / name}: not used: it is a symbolic link" in words for words in said), said
    assert [path.name for path in victim.iterdir()] == ["precious"]


def test_a_link_in_the_way_of_the_helper_is_replaced(host: Host) -> None:
    victim = host.root / "victim"
    victim.write_text("kept")
    copy = host.root / "var" / "lib" / "plexvol" / "plexvol"
    copy.parent.mkdir(parents=True)
    for name in ("plexvol", "plexvol.new"):
        (copy.parent / name).symlink_to(victim)
    host.process(700, "kubelet")
    host.must("install", "--helper", "/var/lib/plexvol/plexvol")
    assert victim.read_text() == "kept" and not copy.is_symlink()
    assert copy.read_bytes() == host.version_1.read_bytes()
    copy.parent.chmod(0o777)
    done = host.run("uninstall", "--helper", "/var/lib/plexvol/plexvol")
    assert done.returncode == 1 and "(mode 0777)" in done.stderr
    assert copy.exists()


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "foreign", "endless"])
def test_a_kubelets_configuration_is_a_file_of_roots_or_not_read(host: Host, kind: str) -> None:
    """Nobody waits for a writer that never comes."""
    config = host.root / "kubelet.yaml"
    if kind == "fifo":
        os.mkfifo(config)
    elif kind == "device":
        os.mknod(config, 0o20644, os.makedev(1, 5))  # /dev/zero
    elif kind == "folder":
        config.mkdir()
    else:
        config.write_text("volumePluginDir: /opt/evil\n" + ("x" * (2 << 20) if kind == "endless" else ""))
        if kind == "foreign":
            os.chown(config, NOBODY, NOBODY)
    host.process(700, "kubelet", "--config=/kubelet.yaml")
    said = host.refused("install")
    assert "kubelet (pid 700) is passed over: " in said and "kubelet.yaml" in said
    assert not (host.root / "opt").exists()
    host.must("install", "--plugin-dir", "/opt/p")


def test_settings_that_are_no_file_do_not_hang_it(host: Host) -> None:
    host.process(700, "kubelet")
    host.must("install")
    settings = host.folder() / ".plexvol.json"
    settings.unlink()
    os.mkfifo(settings)
    assert f"{settings}: not used: it is not a regular file" in host.refused("install")


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere(host: Host) -> None:
    """Its owner swaps it as fast as he can; nothing ever appears where the link leads."""
    victim = host.root / "victim"
    victim.mkdir()
    place = host.root / "home" / "evil"
    (place / "plugins").mkdir(parents=True)
    (place / "link").symlink_to(victim)
    host.give_to(NOBODY, "/home/evil", "/home/evil/plugins")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, other in (("plugins", "aside"), ("link", "plugins"), ("plugins", "link"), ("aside", "plugins")):
                os.rename(place / one, place / other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(40):
            host.refused("install", "--plugin-dir", "/home/evil/plugins")
            assert list(victim.iterdir()) == []
    finally:
        stop.set()
        thread.join()


def test_nobody_can_keep_it_waiting_by_a_lock(host: Host) -> None:
    """Whoever may read a directory may lock it."""
    host.process(700, "kubelet")
    host.must("install")
    locked = [host.folder().parent, host.folder(), host.root / "run", host.root]
    (host.root / "run").mkdir()
    held = [os.open(folder, os.O_RDONLY) for folder in locked]
    for folder in held:
        fcntl.flock(folder, fcntl.LOCK_EX)
    host.must("install", program=host.version_2)
    host.must("roll-back")
    host.must("uninstall")
    for folder in held:
        os.close(folder)


@pytest.mark.parametrize("verb", ["install", "roll-back", "uninstall"])
def test_a_user_who_calls_it_changes_nothing(host: Host, verb: str) -> None:
    host.process(700, "kubelet")
    host.must("install")
    host.must("install", program=host.version_2)
    before = host.files()
    for place in ([], ["--plugin-dir", DEFAULT]):
        command = [*AS_NOBODY, host.version_1, "driver", verb, "--root", host.root, "--proc", host.proc, *place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "run this as root" in done.stderr
        assert host.files() == before


def test_a_user_cannot_tell_who_the_kubelet_is(host: Host) -> None:
    """The kernel shows the namespaces of root's processes to root alone."""
    done = subprocess.run([*AS_NOBODY, host.version_1, "driver", "find"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "run this as root" in done.stderr


def test_as_many_processes_as_a_user_may_have_are_one_note(host: Host) -> None:
    Path(f"{host.root}{DEFAULT}").mkdir(parents=True)
    for pid in range(700, 900):
        host.process(pid, "kubelet", f"--volume-plugin-dir={Evil.PATH}", uids=f"{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}")
    done = host.run("install")
    assert done.returncode == 0
    (note,) = done.stderr.splitlines()
    assert "200 other processes" in note and len(note) < 400
