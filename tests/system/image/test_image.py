"""`make image`: what is in it runs from nothing else, and it is made the same each time."""

import gzip
import hashlib
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image import make_image, unpack

MOST_BYTES = 80_000_000

# One call of each tool that does nothing, and what it must say.
TOOLS = [
    (["/usr/sbin/plexvold", "--version"], "plexvold 0."),
    (["/usr/sbin/plexvol-controller", "--version"], "plexvol-controller 0."),
    (["/usr/bin/plexvol", "--version"], "plexvol 0."),
    (["/usr/bin/etcd", "--version"], "etcd Version"),
    (["/usr/bin/etcdctl", "version"], "etcdctl version"),
    (["/bin/sh", "-c", "echo $((6*7))"], "42"),
    (["/usr/sbin/lvm", "version"], "LVM version"),
    (["/usr/sbin/lvs", "--version"], "LVM version"),
    (["/usr/sbin/lvmconfig", "--type", "default", "devices/scan_lvs"], "scan_lvs"),
    (["/usr/sbin/thin_check", "--version"], "."),
    (["/usr/sbin/drbdadm", "--version"], "DRBDADM_VERSION"),
    (["/usr/sbin/drbdmeta", "--version"], "drbdmeta"),
    (["/sbin/mkfs.ext4", "-V"], "mke2fs"),
    (["/sbin/fsck.ext4", "-V"], "e2fsck"),
    (["/sbin/mkfs.xfs", "-V"], "mkfs.xfs version"),
    (["/usr/sbin/lvextend", "--version"], "LVM version"),
    (["/sbin/xfs_repair", "-V"], "xfs_repair version"),
    (["/sbin/losetup", "--version"], "losetup from util-linux"),
    (["/usr/sbin/modprobe", "--version"], "kmod version"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("image") / "image.tar"
    make_image(target)
    return target


@pytest.fixture(scope="module")
def root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("root")
    unpack(archive, folder / "root")
    yield folder / "root"


def run_in(root: Path, argv: list[str]) -> "subprocess.CompletedProcess[str]":
    """With the image's files, /proc and /dev alone, as in a container."""
    script = 'mount -t proc none "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", root, *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_is_small(archive: Path) -> None:
    assert archive.stat().st_size < MOST_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs root")
@pytest.mark.parametrize(("argv", "words"), TOOLS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_a_tool_runs_with_nothing_but_the_image(root: Path, argv: list[str], words: str) -> None:
    done = run_in(root, argv)
    assert words in done.stdout + done.stderr, (done.returncode, done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs root")
def test_a_file_system_is_made_and_checked_with_nothing_but_the_image(root: Path) -> None:
    with (root / "tmp" / "disk").open("wb") as disk:
        disk.truncate(400 << 20)
    for argv in (["/sbin/mkfs.ext4", "-q", "-F", "/tmp/disk"], ["/sbin/fsck.ext4", "-p", "-f", "/tmp/disk"],
                 ["/sbin/mkfs.xfs", "-q", "-f", "/tmp/disk"], ["/sbin/xfs_repair", "-n", "/tmp/disk"]):
        done = run_in(root, argv)
        assert done.returncode == 0, (argv, done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs root")
def test_drbds_metadata_is_made_with_nothing_but_the_image(root: Path) -> None:
    with (root / "tmp" / "metadata").open("wb") as metadata:
        metadata.truncate(4 << 20)
    file = root / "tmp" / "metadata"
    device = subprocess.run(["losetup", "--find", "--show", file], capture_output=True, text=True).stdout.strip()
    try:
        drbdmeta = ["/usr/sbin/drbdmeta", "--force", "1048575", "v08", device, "flex-external"]
        done = run_in(root, [*drbdmeta, "create-md"])
        assert done.returncode == 0, done.stderr
        assert run_in(root, [*drbdmeta, "get-gi"]).stdout.startswith("0000000000000004:")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_each_package_has_its_licence_with_it(root: Path) -> None:
    packages = {path.parent.name for path in (root / "usr" / "share" / "doc").glob("*/copyright")}
    for package in ("lvm2", "drbd-utils", "e2fsprogs", "xfsprogs", "etcd-server", "libc6", "dash"):
        assert package in packages


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def blob_of(described: dict[str, Any]) -> str:
    return f"blobs/{described['digest'].replace(':', '/')}"


def test_docker_finds_all_that_it_loads(archive: Path) -> None:
    """It reads manifest.json and what is named there: the configuration, and the layers, whose digests are those unpacked."""
    (image,) = json.loads(read(archive, "manifest.json"))
    assert image["RepoTags"] == ["plexvol:0.1.0"]
    config = json.loads(read(archive, image["Config"]))
    layers = [hashlib.sha256(gzip.decompress(read(archive, name))).hexdigest() for name in image["Layers"]]
    assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]}


def test_it_is_one_image_with_one_name_for_docker_and_others(archive: Path) -> None:
    (image,) = json.loads(read(archive, "manifest.json"))
    (described,) = json.loads(read(archive, "index.json"))["manifests"]
    manifest = json.loads(read(archive, blob_of(described)))
    assert image["Config"] == blob_of(manifest["config"])
    assert image["Layers"] == [blob_of(layer) for layer in manifest["layers"]]
    (name,) = image["RepoTags"]
    assert described["annotations"]["io.containerd.image.name"] == f"docker.io/library/{name}"


def test_it_says_which_machines_it_runs_on(archive: Path) -> None:
    (image,) = json.loads(read(archive, "manifest.json"))
    config = json.loads(read(archive, image["Config"]))
    # As Go calls them; of the others the kernel's name is the same, or not of interest here.
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    assert (config["os"], config["architecture"]) == ("linux", machine)


def test_it_is_the_same_each_time(archive: Path, tmp_path: Path) -> None:
    make_image(tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()
