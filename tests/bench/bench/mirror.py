"""A mirrored volume by raw commands in their best order."""

import re
from dataclasses import dataclass

from lab import Node

NAME = "raw"
MINOR = 3000
PORT = 7900
DEVICE = f"/dev/drbd{MINOR}"
MOUNTED = "/mnt/raw"

FORMAT_AND_MOUNT = f"""
mkfs.ext4 -q -F -m 0 -E nodiscard $device
mkdir -p {MOUNTED}
mount $device {MOUNTED}
"""


@dataclass(frozen=True)
class Options:
    """As lvcreate and drbdsetup take them."""

    size: str = "128m"
    metadata_size: str = "4m"
    disk: tuple[str, ...] = ()
    net: tuple[str, ...] = ("--protocol=C",)


def read_options(node: Node, resource: str) -> Options:
    """Of a resource that runs, as the kernel tells them; not its secret."""
    shown = node.check(["drbdsetup", "show", resource]).stdout.decode()
    devices = re.findall(r'^\s*(?:meta-)?disk\s+"(.*?)"', shown, re.MULTILINE)
    size, metadata_size = (int(node.check(["blockdev", "--getsize64", device]).stdout) for device in devices)
    net = (*_section(shown, "net"), "--shared-secret=by-hand")
    return Options(f"{size}b", f"{metadata_size}b", _section(shown, "disk"), net)


def _section(shown: str, name: str) -> tuple[str, ...]:
    found = re.search(rf"\b{name} \{{(.*?)\}}", shown, re.DOTALL)
    pairs = re.findall(r'^\s*([a-z0-9-]+)\s+"?([^";]*)"?;', found[1] if found else "", re.MULTILINE)
    return tuple(f"--{key}={value}" for key, value in pairs if key != "shared-secret")


def make_side(options: Options) -> str:
    return f"""
lvcreate -qq -y -Wn -Zn -L {options.size} -n {NAME} vg0
lvcreate -qq -y -Wn -Zn -L {options.metadata_size} -n {NAME}.meta vg0
drbdmeta --force {MINOR} v08 /dev/vg0/{NAME}.meta flex-external create-md >/dev/null 2>&1
"""


# Before a side is started that lost its power as primary.
AFTER_POWER_LOSS = f"drbdmeta {MINOR} v08 /dev/vg0/{NAME}.meta flex-external apply-al"


def start_side(node: Node, peer: Node, options: Options) -> str:
    """Until it is connected. New ones need no first resync, when FIRST_PROMOTION comes next."""
    return f"""
drbdsetup new-resource {NAME}
drbdsetup new-minor {NAME} {MINOR} 0
drbdsetup attach {MINOR} /dev/vg0/{NAME} /dev/vg0/{NAME}.meta flexible {" ".join(options.disk)}
drbdsetup connect {NAME} ipv4:{node.address}:{PORT} ipv4:{peer.address}:{PORT} {" ".join(options.net)}
drbdsetup wait-connect {MINOR} >/dev/null
"""


FIRST_PROMOTION = f"""
drbdsetup new-current-uuid --clear-bitmap {MINOR}
drbdsetup primary {MINOR}
"""
DEMOTION = f"drbdsetup secondary {MINOR}"
SIDE_DOWN = f"drbdsetup down {NAME}; lvremove -qq -f vg0/{NAME} vg0/{NAME}.meta"
