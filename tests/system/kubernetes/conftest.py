"""One cluster with Plexvol for all tests here: see tests/kubernetes/README.md. Only this file knows what pools are."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PLEXVOL_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests" / "kubernetes"))

from claims import Claims  # noqa: E402
from kube.cluster import Cluster, require_all  # noqa: E402
from kube.installation import Installation  # noqa: E402
from kube.pools import ImagePools  # noqa: E402
from lab import LabError  # noqa: E402
from workloads import Workloads  # noqa: E402

LOG_LINES = 60


@pytest.fixture(scope="session")
def able() -> None:
    """This machine can have a cluster."""
    try:
        require_all()
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def plexvol(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    assert (BUILD / "plexvold").exists(), f"{BUILD / 'plexvold'} is not built"
    cluster = Cluster()
    installation = Installation(cluster, BUILD, tmp_path_factory.mktemp("plexvol"), ImagePools())
    with ThreadPoolExecutor() as threads:
        image = threads.submit(installation.make_image)
        with cluster:
            image.result()
            installation.bring_image()
            installation.apply()
            yield installation


@pytest.fixture
def workloads(plexvol: Installation) -> Iterator[Workloads]:
    """What a test applies goes with it. Nobody waits for that: each test has names of its own."""
    workloads = Workloads(plexvol)
    yield workloads
    workloads.delete()


@pytest.fixture
def claims(plexvol: Installation) -> Claims:
    return Claims(plexvol)


@pytest.hookimpl(hookwrapper=True, trylast=True)  # before the one that waits for Enter
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = (yield).get_result()
    plexvol = item.funcargs.get("plexvol")
    if report.failed and plexvol is not None and report.when == "call":
        cluster = plexvol.cluster
        if os.environ.get("PLEXVOL_HOLD"):
            print(f"\nkubectl: {cluster.kubectl_from_outside()}")
        report.sections.append(("the cluster", cluster.describe()))
        for name, text in cluster.logs().items():
            report.sections.append((name, "\n".join(text.splitlines()[-LOG_LINES:])))
