"""The command line of the lab."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import kernel
from .api import DEFAULT_MEMORY_MIB, Lab
from .client import Command, CommandRequest
from .errors import CommandTimeout, LabError
from .paths import run_dir

DEFAULT_NAME = "default"

EXIT_LAB_ERROR = 125
EXIT_TIMEOUT = 124
EXIT_SIGPIPE = 128 + signal.SIGPIPE
EXIT_SIGINT = 128 + signal.SIGINT

DESCRIPTION = """\
Boots emulated machines (n1, n2, ...) with LVM and DRBD on a network of their own, 10.77.0.N. They see this host's
file system, read-only; what they write to it is kept in their memory and lost at power-off, except below /persist,
/etc/plexvol, /var/lib/plexvol and /var/lib/kubelet. /dev/vdb is their disk for LVM."""

RUN_DESCRIPTION = """\
Runs a command in a machine. Its output and its exit code come through; 124 tells a timeout, 125 that the lab could
not run it. Works while the network is cut, and for several commands at once."""


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    arguments.directory = _state_directory(arguments)
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    try:
        return verb(arguments)
    except CommandTimeout as error:
        print(f"plexlab: {error}", file=sys.stderr)
        return EXIT_TIMEOUT
    except LabError as error:
        print(f"plexlab: {error}", file=sys.stderr)
        return EXIT_LAB_ERROR
    except KeyboardInterrupt:
        return EXIT_SIGINT


def _parser() -> argparse.ArgumentParser:
    # Understood before and after the command. They have no default: that of the second would undo the first.
    which = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    which.add_argument("--name", help=f"which lab, when there are several (default: {DEFAULT_NAME})")
    which.add_argument("--dir", help="state directory of the lab (default: build/lab/run-NAME)")

    parser = argparse.ArgumentParser(
        prog="plexlab",
        parents=[which],
        description=DESCRIPTION,
        epilog="plexlab COMMAND --help explains each command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, verb: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        description = RUN_DESCRIPTION if verb is run else text[0].upper() + text[1:] + "."
        sub = verbs.add_parser(name, parents=[which], help=text, description=description)
        sub.set_defaults(verb=verb)
        return sub

    sub = add("up", up, "boot the machines and leave them running")
    sub.add_argument("--nodes", type=int, default=3, help="how many (default: %(default)s)")
    sub.add_argument(
        "--memory", type=int, default=DEFAULT_MEMORY_MIB, metavar="MIB", help="of each machine (default: %(default)s)"
    )
    sub.add_argument("--no-lvm", action="store_true", help="leave /dev/vdb empty instead of making vg0 and vg0/thin")
    sub.add_argument("--etcd", action="store_true", help="start an etcd cluster of all nodes")

    sub = add("down", down, "end the machines and remove everything of them")
    sub.add_argument("--keep", action="store_true", help="leave the consoles and disk images")

    sub = add("run", run, "run a command in a machine")
    sub.add_argument("--timeout", type=float, metavar="S", help="kill it after so many seconds")
    sub.add_argument("node", metavar="NODE")
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD", help="the program and its arguments")

    sub = add("power-off", power_off, "let a machine lose its power; its disks stay")
    sub.add_argument("node", metavar="NODE")
    sub = add("power-on", power_on, "boot a machine again")
    sub.add_argument("node", metavar="NODE")

    sub = add("pause", pause, "let a machine hang until it is resumed")
    sub.add_argument("node", metavar="NODE")
    sub = add("resume", resume, "let a machine that hangs go on")
    sub.add_argument("node", metavar="NODE")

    sub = add("cut", cut, "cut the link of A and B, or of A and everyone")
    sub.add_argument("--one-way", action="store_true", help="lose only what A sends")
    sub.add_argument("a", metavar="A")
    sub.add_argument("b", metavar="B", nargs="?")
    sub = add("heal", heal, "heal the link of A and B, all of A, or all there are")
    sub.add_argument("a", metavar="A", nargs="?")
    sub.add_argument("b", metavar="B", nargs="?")
    sub = add("delay", delay, "let every packet travel so long; 0 ends it")
    sub.add_argument("milliseconds", type=float, metavar="MS")

    sub = add("status", status, "show the machines and the network")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = add("console", console, "show what a machine's kernel printed")
    sub.add_argument("-f", "--follow", action="store_true", help="go on showing it until interrupted")
    sub.add_argument("node", metavar="NODE")

    sub = add("kernel", show_kernel, "prepare the kernel and print where it is")
    sub.add_argument("--refresh", action="store_true", help="look for a newer kernel package")
    return parser


def _state_directory(arguments: argparse.Namespace) -> Path:
    if hasattr(arguments, "dir"):
        return Path(arguments.dir).resolve()
    return run_dir(getattr(arguments, "name", DEFAULT_NAME))


def up(arguments: argparse.Namespace) -> int:
    lab = Lab(nodes=arguments.nodes, memory_mib=arguments.memory, directory=arguments.directory)
    lab.start(owner=None)
    try:
        lab.wait_ready()
        if not arguments.no_lvm:
            lab.prepare_lvm()
        if arguments.etcd:
            lab.start_etcd()
    except BaseException:
        lab.stop()
        raise
    return 0


def down(arguments: argparse.Namespace) -> int:
    _lab(arguments).stop(keep=arguments.keep)
    return 0


def run(arguments: argparse.Namespace) -> int:
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise LabError("run: which command?")
    request = CommandRequest(words, sink=_pass_through)
    with Command(arguments.directory, arguments.node, request) as command:
        try:
            return command.wait(arguments.timeout).code
        except BrokenPipeError:
            return EXIT_SIGPIPE


def _pass_through(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def power_off(arguments: argparse.Namespace) -> int:
    _lab(arguments).node(arguments.node).power_off()
    return 0


def power_on(arguments: argparse.Namespace) -> int:
    _lab(arguments).node(arguments.node).power_on()
    return 0


def pause(arguments: argparse.Namespace) -> int:
    _lab(arguments).node(arguments.node).pause()
    return 0


def resume(arguments: argparse.Namespace) -> int:
    _lab(arguments).node(arguments.node).resume()
    return 0


def cut(arguments: argparse.Namespace) -> int:
    _lab(arguments).cut(arguments.a, arguments.b, one_way=arguments.one_way)
    return 0


def heal(arguments: argparse.Namespace) -> int:
    _lab(arguments).heal(arguments.a, arguments.b)
    return 0


def delay(arguments: argparse.Namespace) -> int:
    _lab(arguments).delay(arguments.milliseconds / 1000)
    return 0


def status(arguments: argparse.Namespace) -> int:
    answer = _lab(arguments).status()
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    print(f"{'NODE':8}{'STATE':10}{'PID':10}CANNOT SEND TO")
    for node in answer["nodes"]:
        lost = " ".join(target for source, target in answer["cuts"] if source == node["name"])
        print(f"{node['name']:8}{node['state']:10}{node['pid'] or '-':<10}{lost or '-'}")
    packets = answer["packets"]
    print(f"\n{packets['forwarded']} packets sent, {packets['dropped']} lost, delay {answer['delay'] * 1000:g} ms")
    print(f"supervisor {answer['pid']}, state in {answer['directory']}")
    return 0


def console(arguments: argparse.Namespace) -> int:
    file = _lab(arguments).node(arguments.node).console_path
    return subprocess.run(["tail", "-n", "+1", *(["-f"] if arguments.follow else []), str(file)]).returncode


def show_kernel(arguments: argparse.Namespace) -> int:
    parts = kernel.prepare(refresh=arguments.refresh)
    for name in ["version", "image", "initramfs", "modules"]:
        print(f"{name:10} {getattr(parts, name)}")
    return 0


def _lab(arguments: argparse.Namespace) -> Lab:
    return Lab.attach(arguments.directory)
