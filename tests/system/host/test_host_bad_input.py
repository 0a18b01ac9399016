"""What must never work: each is refused by name, and changes nothing."""

import json
import os
from pathlib import Path

import pytest
from plexvol_host import NODE, Host

LONG = "x" * 300
BAD_NAMES = {
    "a slash": "a/b",
    "dots": "..",
    "dots inside": "a..b",
    "the way up": "../../etc/passwd",
    "a blank": "a b",
    "300 characters": LONG,
    "an option": "--force",
    "a line break": "a\nb",
    "a shell's words": "$(reboot)",
    "LVM's own": "pvmove0",
    "DRBD's metadata": "pv-1.meta",
}
BAD_FOR_VOLUMES_ONLY = ("LVM's own", "DRBD's metadata")
BAD_SIZES = {"nothing": "0", "9Ei": "9Ei", "abc": "abc", "empty": "", "negative": "-1Gi", "too small": "1Mi", "2Pi": "2Pi"}
BAD_OPTIONS = {
    "replicas": ("3", "replicas"),
    "pool": ("none", "none"),
    "fsType": ("ntfs", "ntfs"),
    "mkfsOptions": ("-F /dev/sda", "-F"),
    "mountOptions": ("bind", "bind"),
    "readOnly": ("maybe", "readOnly"),
}


def picture(host: Host) -> tuple[dict[str, str], list[str], list[str], dict[str, str], list[str]]:
    """All that a call may change."""
    files = [sorted(path.name for path in folder.iterdir()) for folder in (host.pool, host.devices)]
    return host.wishes(), files[0], files[1], host.loops(), host.mounts()


def refused_by_all(host: Host, asked: str, naming: str | tuple[str, ...]) -> None:
    """By every call that is given options, and nothing has changed."""
    before = picture(host)
    device, folder = host.device("pv-1"), host.device_dir("pv-1")
    host.attaching.refused("attach", asked, NODE, naming=naming)
    host.attaching.refused("waitforattach", "", asked, naming=naming)
    host.attaching.refused("mountdevice", folder, device, asked, naming=naming)
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=naming)
    assert picture(host) == before


@pytest.mark.parametrize("kind", BAD_NAMES)
def test_bad_name(host: Host, kind: str) -> None:
    name = BAD_NAMES[kind]
    shown = name[:20].split("\n")[0]
    refused_by_all(host, host.options(name, size="64Mi"), naming=("name", shown))
    refused_by_all(host, host.options("pv-1", volume=name, size="64Mi"), naming=("volume name", shown))


@pytest.mark.parametrize("kind", [kind for kind in BAD_NAMES if kind not in BAD_FOR_VOLUMES_ONLY])
def test_bad_node_name(host: Host, kind: str) -> None:
    name = BAD_NAMES[kind]
    shown = name[:20].split("\n")[0]
    before = picture(host)
    host.attaching.refused("attach", host.options("pv-1", size="64Mi"), name, naming=("node name", shown))
    host.attaching.refused("detach", "pv-1", name, naming=("node name", shown))
    assert picture(host) == before


@pytest.mark.parametrize("kind", BAD_SIZES)
def test_bad_size(host: Host, kind: str) -> None:
    refused_by_all(host, host.options("pv-1", size=BAD_SIZES[kind]), naming=("size", f'"{BAD_SIZES[kind]}"'))
    before = picture(host)
    created = host.plexvol("volume", "create", "pv-1", f"--size={BAD_SIZES[kind]}")
    assert created.returncode != 0 and "size" in created.stderr
    assert picture(host) == before


@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_bad_option(host: Host, option: str) -> None:
    value, naming = BAD_OPTIONS[option]
    asked = host.options("pv-1", size="64Mi", **{option: value})
    before = picture(host)
    host.attaching.refused("attach", asked, NODE, naming=naming)
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=naming)
    assert picture(host) == before


def test_more_than_there_is_room_for(host: Host) -> None:
    asked = host.options("pv-1", size="900Ti")
    before = picture(host)
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=("900Ti", "free", "files", NODE))
    host.attaching.refused("attach", asked, NODE, naming=("900Ti", "free", "files", NODE))
    assert picture(host) == before


def test_a_mirror_on_a_node_alone(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi", replicas="2")
    before = picture(host)
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=("no node can take a replica", NODE))
    assert picture(host) == before


BAD_JSON = {
    "no JSON": ("size=64Mi", "JSON"),
    "empty": ("", "JSON"),
    "half an object": ('{"size": "64Mi"', "JSON"),
    "a list": ('["size"]', "object"),
    "a text": ('"size"', "object"),
    "null": ("null", "object"),
    "a number for a text": (json.dumps({"kubernetes.io/pvOrVolumeName": "pv-1", "size": 64}), "size"),
    "an object for a text": (json.dumps({"kubernetes.io/pvOrVolumeName": {"name": "pv-1"}}), "pvOrVolumeName"),
    "no name": (json.dumps({"size": "64Mi"}), "kubernetes.io/pvOrVolumeName"),
    "bytes that are no text": ('{"kubernetes.io/pvOrVolumeName": "\udcff"}', ""),
    "brackets without end": ("[" * 100_000, ""),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_bad_json(host: Host, kind: str) -> None:
    asked, naming = BAD_JSON[kind]
    refused_by_all(host, asked, naming)
    # Never a failure, and never false: the controller would attach again and again.
    assert host.attaching.must("isattached", asked, NODE).json["attached"] is True


def test_an_unknown_node(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    before = picture(host)
    host.attaching.refused("attach", asked, "n2", naming="n2")
    assert picture(host) == before


def test_no_such_volume(host: Host) -> None:
    refused_by_all(host, host.options("pv-1"), naming=("no volume named pv-1"))
    for command in ("show", "delete"):
        done = host.plexvol("volume", command, "pv-1")
        assert done.returncode != 0 and "no volume named pv-1" in done.stderr


@pytest.mark.parametrize("arguments", [("attach",), ("mount", "/somewhere"), ("detach", "pv-1"), ("waitforattach",)])
def test_too_few_arguments(host: Host, arguments: tuple[str, ...]) -> None:
    host.attaching.refused(*arguments, naming=arguments[0])


def test_an_unknown_call_is_not_supported(host: Host) -> None:
    """What a later Kubernetes may call."""
    assert host.attaching.call("expandeverything", "x").json["status"] == "Not supported"


@pytest.mark.parametrize("kind", ["a file", "a link", "missing below a file"])
def test_a_mount_directory_that_is_none(host: Host, kind: str) -> None:
    host.create("pv-1")
    target = host.directory / "target"
    if kind == "a file":
        target.write_text("not a directory")
    elif kind == "a link":
        target.symlink_to(host.pod_dir("pv-1"))
    else:
        target.write_text("not a directory")
        target = target / "below"
    before = picture(host)
    host.mounting.refused("mount", target, host.options("pv-1"), naming=str(target))
    host.wait_detached("pv-1")
    assert host.mounts() == []
    assert picture(host)[1:] == before[1:]


# A device that holds something that is not ours


def foreign_ext4(host: Host, device: str) -> None:
    host.machine.run("mkfs.ext4", "-q", "-F", "-L", "theirs", device)


def foreign_xfs(host: Host, device: str) -> None:
    host.machine.run("mkfs.xfs", "-q", "-f", "-L", "theirs", device)


def foreign_lvm(host: Host, device: str) -> None:
    settings = f'devices {{ use_devicesfile=0 filter=["a|^{device}$|","r|.*|"] }} activation {{ udev_sync=0 udev_rules=0 }}'
    host.machine.run("pvcreate", "-qq", "--config", settings, device)


def foreign_partitions(host: Host, device: str) -> None:
    host.machine.run("sh", "-c", f"echo ,, | sfdisk --quiet --no-reread {device}")


def foreign_bytes(host: Host, device: str) -> None:
    with Path(device).open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"the end of somebody's file")


STRANGERS = {
    "ext4": (foreign_ext4, ("ext4", "theirs")),
    "xfs": (foreign_xfs, ("xfs", "theirs")),
    "LVM": (foreign_lvm, ("LVM2_member",)),
    "partitions": (foreign_partitions, ("dos", "partition table")),
    "bytes": (foreign_bytes, ("data at offset",)),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_device_with_a_strangers_data_is_not_formatted(host: Host, stranger: str) -> None:
    write, naming = STRANGERS[stranger]
    host.create("pv-1", "300Mi")
    device = host.loop_of("pv-1")
    write(host, device)
    image = host.pool / "pv-1.img"
    before = image.read_bytes()
    asked = host.options("pv-1")
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=("pv-1", device, *naming))
    host.attaching.refused("attach", asked, NODE, naming=("pv-1", device, *naming))
    assert host.mounts() == []
    assert image.read_bytes() == before
    # A person decides: this one empties it.
    host.attaching.must("detach", "pv-1", NODE)
    with Path(device).open("r+b") as file:
        for start, whence in ((0, os.SEEK_SET), (-(1 << 20), os.SEEK_END)):
            file.seek(start, whence)
            file.write(bytes(1 << 20))
    host.mounting.must("mount", host.pod_dir("pv-1"), asked)
    host.mounting.must("unmount", host.pod_dir("pv-1"))
    host.wait_detached("pv-1")


# What was lost is reported, never made anew


def filled(host: Host, name: str = "pv-1") -> str:
    """The options of a volume that has been written to, and is detached."""
    asked, pod = host.options(name, size="64Mi"), host.pod_dir(name)
    host.mounting.must("mount", pod, asked)
    host.see(pod / "file").write_text("kept")
    host.mounting.must("unmount", pod)
    host.wait_detached(name)
    return asked


@pytest.mark.finding("K10")
@pytest.mark.parametrize("loop", ["with its loop device", "after a reboot"])
def test_a_volume_whose_image_vanished_is_reported(host: Host, loop: str) -> None:
    asked = filled(host)
    if loop == "after a reboot":
        host.reboot()
    (host.pool / "pv-1.img").unlink()
    if loop == "after a reboot":
        host.start()
    naming = ("pv-1", "is gone", NODE, "the only replica")
    reply = host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=naming)
    assert "logical volume" not in reply.message, "it was an image"
    host.attaching.refused("attach", asked, NODE, naming=naming)
    assert "is gone" in host.volume("pv-1")["replicas"][0]["error"]
    assert not (host.pool / "pv-1.img").exists()
    host.attaching.must("detach", "pv-1", NODE)


def test_an_image_that_is_brought_back_is_used_again(host: Host) -> None:
    asked = filled(host)
    host.reboot()
    image = host.pool / "pv-1.img"
    image.rename(host.directory / "aside")
    host.start()
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming="is gone")
    (host.directory / "aside").rename(image)
    host.mounting.must("mount", host.pod_dir("pv-1"), asked)
    assert host.see(host.pod_dir("pv-1") / "file").read_text() == "kept"
    host.mounting.must("unmount", host.pod_dir("pv-1"))
    host.wait_detached("pv-1")


@pytest.mark.parametrize("content", ["nothing", "xfs"])
def test_a_formatted_volume_that_reads_otherwise_is_refused(host: Host, content: str) -> None:
    host.create("pv-1", "300Mi")
    asked, pod = host.options("pv-1"), host.pod_dir("pv-1")
    host.mounting.must("mount", pod, asked)
    host.mounting.must("unmount", pod)
    host.wait_detached("pv-1")
    device = host.loop_of("pv-1")
    host.machine.run("blkdiscard", "--force", "--zeroout", device)
    if content == "xfs":
        foreign_xfs(host, device)
    naming = ("pv-1", "formatted as ext4", "neither mounted nor formatted")
    host.mounting.refused("mount", pod, asked, naming=(*naming, "now holds nothing" if content == "nothing" else "xfs"))
    assert host.mounts() == []
    found = host.machine.run("sh", "-c", f"blkid --probe --match-tag TYPE --output value {device} || true").strip()
    assert found == ("" if content == "nothing" else "xfs")


def test_an_image_of_somebody_else_is_not_touched(host: Host) -> None:
    stranger = host.pool / "pv-1.img"
    stranger.write_bytes(b"precious" * 4096)
    before = stranger.read_bytes()
    asked = host.options("pv-1", size="64Mi")
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=("pv-1", "was not made for this"))
    host.wait_detached("pv-1")
    host.delete("pv-1")
    assert stranger.read_bytes() == before
    stranger.unlink()
