"""Three nodes that were set up by what installer/render makes and by the image, and by nothing else."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import AGENT, BUILD
from image import make_image, unpack
from installed import ETCD, UNINSTALL, InstalledCluster
from lab import Lab


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """Below the checkout, which the machines see as it is now."""
    if not (BUILD / "plexvold").exists():
        pytest.skip("build/plexvold is not built")
    folder = BUILD / "image" / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.with_suffix(".tar")
    make_image(archive)
    unpack(archive, folder)
    archive.unlink()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def next_image(image: Path) -> Iterator[Path]:
    """Another version as far as anybody can tell: what follows an executable's last section does nothing."""
    folder = image.with_name("next")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(image, folder, symlinks=True, copy_function=os.link)
    for name in ("usr/bin/plexvol", "usr/sbin/plexvold"):
        program = folder / name
        program.unlink()
        program.write_bytes((image / name).read_bytes() + b"next")
        program.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def installed(image: Path, next_image: Path, lab3: Lab) -> InstalledCluster:
    return InstalledCluster(lab3, image).start()


@pytest.fixture(autouse=True)
def _pod_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    report = getattr(request.node, "call_report", None)
    if report is not None and not report.failed:
        return
    for node in request.getfixturevalue("lab3").nodes:
        if node.state != "ready":
            continue
        for pod in (AGENT, ETCD, UNINSTALL):
            print(f"--- {pod} of {node.name}")
            print(node.run(["tail", "-n", "40", node.service_log_path(pod)]).text)
