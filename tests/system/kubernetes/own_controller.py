"""A controller that a test runs itself, with the rights of the one that is installed, while that is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kube.installation import CONTROLLER, Installation
from lab import wait_until
from workloads import PATIENCE

API_SERVER = "https://10.97.0.1:443"  # as pods are told


@contextmanager
def without_deployment(plexvol: Installation) -> Iterator[None]:
    """No controller of the Deployment runs."""
    cluster = plexvol.cluster

    def scale(replicas: int) -> None:
        cluster.kubectl("-n", "kube-system", "scale", f"deployment/{CONTROLLER}", f"--replicas={replicas}")

    def running() -> list[str]:
        found = cluster.get("-n", "kube-system", "pods", "-l", f"app={CONTROLLER}")  # nothing where there is none
        return [pod["metadata"]["name"] for pod in (found or {"items": []})["items"]]

    scale(0)
    for pod in running():
        cluster.kubectl("-n", "kube-system", "delete", "pod", pod, "--force", "--grace-period=0", "--ignore-not-found")
    wait_until(lambda: running() == [], PATIENCE, "no other controller runs")
    yield
    scale(2)
    plexvol.wait_rolled_out(CONTROLLER, "deployment")


def write_account(plexvol: Installation, folder: Path) -> None:
    """The files "token" and "ca.crt" of the controller's account, in this folder of this side."""
    folder.mkdir(exist_ok=True)
    for name, content in plexvol.cluster.account_files(CONTROLLER).items():
        (folder / name).write_bytes(content)


def command(build: Path, server: str, *options: str) -> list[str | Path]:
    return [build / "plexvol-controller", f"--server={server}", "--namespace=kube-system", *options]
