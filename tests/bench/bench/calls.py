"""One driver call as a whole process: over a program that does nothing, and over a driver written in shell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plexvol_host import NODE, Host

from .report import Line, alternately, ratio

HERE = Path(__file__).resolve().parents[1]
TOOLS = HERE.parents[1] / "build" / "bench"
SHELL_DRIVER = HERE / "shell-driver"
ROUNDS = 10
CALLS = 30
SHELL_CALLS = 5


def spawn(host: Host, count: int, *argv: str | Path) -> list[float]:
    """Seconds of each; each must succeed."""
    return read_spawned(host.machine.run(TOOLS / "spawn", str(count), *argv, timeout=600), count)


def read_spawned(said: str, count: int) -> list[float]:
    """What spawn.c says of as many processes."""
    lines = said.splitlines()
    took = [(int(line.split()[0]) / 1e9, line.split()[1]) for line in lines]
    assert len(took) == count and all(status == "0" for _, status in took), lines[-1:]
    return [seconds for seconds, _ in took]


@contextmanager
def machine_with_agent() -> Iterator[Host]:
    host = Host()
    host.start()
    try:
        yield host
    finally:
        host.destroy()


@contextmanager
def device_of_its_own(host: Host) -> Iterator[Path]:
    """What the shell driver has: a folder with a block device by the volume's name."""
    folder = host.directory / "shell"
    folder.mkdir()
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    device = host.machine.run("losetup", "--find", "--show", image).strip()
    (folder / "pv-1").symlink_to(device)
    try:
        yield folder
    finally:
        host.machine.run("sh", "-c", f"umount {folder}/mounted; losetup --detach {device}")


def measure() -> list[Line]:
    with machine_with_agent() as host, device_of_its_own(host) as folder:
        ours, attached, pod = host.options("pv-1", size="64Mi"), host.options("pv-2", size="64Mi"), host.pod_dir("pv-1")
        theirs = host.options("pv-1", directory=str(folder))
        mounted = folder / "mounted"
        host.mounting.must("mount", pod, ours)
        host.attaching.must("attach", attached, NODE)
        host.machine.run(SHELL_DRIVER, "mount", mounted, theirs)

        init, nothing = alternately(
            ROUNDS,
            lambda: spawn(host, CALLS, host.mounting.path, "init"),
            lambda: spawn(host, CALLS, TOOLS / "nothing"),
        )
        lines = [ratio("`init` over an empty static C program", init, nothing, most=1.3)]
        for call, mine, other in (
            ("isattached", [host.attaching.path, "isattached", attached, NODE], ["isattached", theirs, NODE]),
            ("a repeated mount", [host.mounting.path, "mount", pod, ours], ["mount", mounted, theirs]),
        ):
            fast, slow = alternately(
                ROUNDS,
                lambda mine=mine: spawn(host, CALLS, *mine),
                lambda other=other: spawn(host, SHELL_CALLS, SHELL_DRIVER, *other),
            )
            lines.append(ratio(f"{call}: a driver in shell with jq over ours", fast, slow, least=10))
        host.attaching.must("detach", "pv-2", NODE)
        host.mounting.must("unmount", pod)
        return lines
