"""One Kubernetes on emulated machines for all tests here: tests/kubernetes/kube/in_lab.py."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "kubernetes"))

from cluster import BUILD  # noqa: E402
from kube.cluster import require_all  # noqa: E402
from kube.in_lab import CONTROLLER, KUBELET, LabKubernetes  # noqa: E402
from lab import Lab, LabError, require_programs  # noqa: E402
from timeline import ALL_PARTS, medians  # noqa: E402
from world import LEASE_SECONDS, World  # noqa: E402

LOG_LINES = 40
# For a containerd and a kubelet beside the rest.
MEMORY_MIB = 1024


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[LabKubernetes]:
    try:
        require_programs()
        require_all()
    except LabError as error:
        pytest.skip(str(error))
    assert (BUILD / CONTROLLER).exists(), f"{BUILD / CONTROLLER} is not built"
    with Lab(nodes=3, memory_mib=MEMORY_MIB) as lab:
        lab.prepare_lvm()
        with LabKubernetes(lab, LEASE_SECONDS) as kubernetes:
            yield kubernetes


@pytest.fixture
def world(kubernetes: LabKubernetes) -> Iterator[World]:
    """All that a test made goes, and all that it broke is whole again."""
    world = World(kubernetes)
    world.heal()
    yield world
    world.end()


@pytest.hookimpl(hookwrapper=True, trylast=True)  # before the one that waits for Enter
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = (yield).get_result()
    kubernetes = item.funcargs.get("kubernetes")
    if not report.failed or kubernetes is None or report.when != "call":
        return
    if os.environ.get("PLEXVOL_HOLD"):
        print(f"\nkubectl: {kubernetes.kubectl_from_outside()}")
    report.sections.append(("the cluster", kubernetes.describe()))
    for node in kubernetes.lab.nodes:
        if node.state == "ready":
            for service in ("plexvold", CONTROLLER, KUBELET):
                said = node.run(["tail", "-n", str(LOG_LINES), node.service_log_path(service)]).text
                report.sections.append((f"{service} of {node.name}", said))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures of all nodes that died."""
    for what, parts in ALL_PARTS.items():
        terminalreporter.section(f"{what}: median of {len(parts)}")
        for name, seconds in medians(parts).items():
            terminalreporter.line(f"{seconds:7.1f} s  {name}")
