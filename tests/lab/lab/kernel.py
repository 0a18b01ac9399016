"""The kernel and the initramfs of the emulated machines, cached below build/lab/kernel.

The kernel is Debian's own package, unpacked and never installed. Both parts are made again only when what they
are made of changes, so only the first lab of a checkout waits for them.
"""

import fcntl
import hashlib
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .paths import BUILD, GUEST_SOURCE, KERNELS

META_PACKAGE = "linux-image-amd64"
BUSYBOX = Path("/bin/busybox")
INITRAMFS_INIT = GUEST_SOURCE / "initramfs-init.sh"

# What must be there before the machine sees its root file system; all other modules come from there.
BOOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk", "virtio_net", "virtio_console"]


@dataclass(frozen=True)
class Kernel:
    """What qemu and the guest need of one kernel version."""

    version: str
    image: Path
    modules: Path
    initramfs: Path


def prepare(refresh: bool = False) -> Kernel:
    """Returns the cached kernel, making what is missing. `refresh` looks for a newer package first."""
    with _only_one_at_a_time():
        version = None if refresh else _newest_cached()
        if version is None:
            version = _fetch()
        tree = KERNELS / version
        return Kernel(version, tree / "vmlinux", tree / "lib/modules" / version, _prepare_initramfs(tree, version))


@contextmanager
def _only_one_at_a_time() -> Iterator[None]:
    KERNELS.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _newest_cached() -> str | None:
    """A tree appears under its final name only when it is complete (see _fetch)."""
    trees = [tree for tree in KERNELS.iterdir() if (tree / "vmlinux").exists() and not tree.name.startswith(".")]
    return max(trees, key=lambda tree: tree.stat().st_mtime).name if trees else None


def _fetch() -> str:
    package = _newest_package()
    version = package.removeprefix("linux-image-")
    if (KERNELS / version).exists():
        return version
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=KERNELS) as work:
        tree = Path(work) / "tree"
        # As root apt would hand over to the user _apt, who may not write here, and warn about it.
        _output(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=work)
        [archive] = Path(work).glob("*.deb")
        _output(["dpkg", "-x", str(archive), str(tree)])
        _output(["depmod", "-b", str(tree), version])
        image = _decompress((tree / "boot" / f"vmlinuz-{version}").read_bytes())
        (tree / "vmlinux").write_bytes(image)
        tree.rename(KERNELS / version)
    return version


def _newest_package() -> str:
    for line in _output(["apt-cache", "depends", META_PACKAGE]).splitlines():
        word, _, package = line.strip().partition(": ")
        if word == "Depends" and package.startswith("linux-image-"):
            return package
    raise LabError(f"apt knows no kernel: {META_PACKAGE} depends on none (apt-get update?)")


def _decompress(vmlinuz: bytes) -> bytes:
    """The ELF image inside a bzImage. Unpacking it here saves every boot some seconds of emulated xz."""
    start = vmlinuz.find(b"\xfd7zXZ\x00")
    if start < 0:
        raise LabError("the kernel image is not compressed with xz")
    image = lzma.LZMADecompressor().decompress(vmlinuz[start:])
    if not image.startswith(b"\x7fELF"):
        raise LabError("no ELF image inside the kernel image")
    return image


def _prepare_initramfs(tree: Path, version: str) -> Path:
    modules = _modules_in_load_order(tree, version)
    digest = hashlib.sha256()
    for file in [BUSYBOX, INITRAMFS_INIT, *modules]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    initramfs = tree / f"initramfs-{digest.hexdigest()[:16]}.cpio"
    if not initramfs.exists():
        for old in tree.glob("initramfs-*.cpio"):
            old.unlink()
        _pack_initramfs(initramfs, modules)
    return initramfs


def _modules_in_load_order(tree: Path, version: str) -> list[Path]:
    modules: dict[Path, None] = {}
    for name in BOOT_MODULES:
        for line in _output(["modprobe", "-d", str(tree), "-S", version, "--show-depends", name]).splitlines():
            command, _, file = line.strip().partition(" ")
            if command == "insmod":
                modules[Path(file.strip())] = None
    return list(modules)


def _pack_initramfs(initramfs: Path, modules: list[Path]) -> None:
    with tempfile.TemporaryDirectory(prefix=".initramfs-", dir=initramfs.parent) as work:
        root = Path(work) / "root"
        for folder in ["bin", "modules", "proc", "sys", "dev", "host", "scratch", "root"]:
            (root / folder).mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin/busybox")
        shutil.copy(INITRAMFS_INIT, root / "init")
        (root / "init").chmod(0o755)
        for number, module in enumerate(modules):
            shutil.copy(module, root / "modules" / f"{number:02}-{module.name}")
        files = sorted(str(file.relative_to(root)) for file in root.rglob("*"))
        archive = Path(work) / "archive"
        with open(archive, "wb") as out:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, stdout=out, check=True,
                           input="\n".join(files).encode())
        archive.rename(initramfs)


def _output(command: list[str], cwd: str | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout
