"""One machine of its own for each test, with an agent; at the end nothing may be left of any volume."""

import os
import random
from collections.abc import Iterator

import pytest
from plexvol_host import BUILD, Host
from pod_runtime import PodRuntime


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("mounts and loop devices need root")
    for program in ("plexvol", "plexvold"):
        assert (BUILD / program).exists(), f"{BUILD / program} is not built"
    host = Host()
    try:
        host.start()
        yield host
        report = getattr(request.node, "call_report", None)
        if report is not None and report.passed:
            host.finish()
    finally:
        request.node.agent_log = host.log_path.read_text(errors="replace")
        host.destroy()


@pytest.fixture
def runtime(host: Host) -> Iterator[PodRuntime]:
    """Idle: a pod without a process is dead, unless a test makes a sandbox for it."""
    runtime = PodRuntime(host)
    try:
        runtime.start()
        yield runtime
    finally:
        runtime.destroy()


@pytest.fixture
def chance() -> random.Random:
    """Of PLEXVOL_SEED, or new each time; a failing test shows which."""
    seed = os.environ.get("PLEXVOL_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"PLEXVOL_SEED={seed}")
    return random.Random(seed)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        host = item.funcargs.get("host")
        if report.failed and host is not None:
            report.sections.append(("the agent's log", tail(host.log_path.read_text(errors="replace"))))
    elif report.when == "teardown" and report.failed:
        report.sections.append(("the agent's log", tail(getattr(item, "agent_log", ""))))


def tail(text: str) -> str:
    return "\n".join(text.splitlines()[-150:])
