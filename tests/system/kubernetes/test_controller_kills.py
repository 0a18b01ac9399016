"""A controller that dies at any of its requests leaves one volume for each claim, or none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from claims import RIGHT, Claims, claim, storage_class
from kube.cluster import NODES
from kube.installation import Installation
from lab import wait_until
from own_controller import API_SERVER, command, without_deployment, write_account
from workloads import PATIENCE, Workloads

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PLEXVOL_BUILD", ROOT / "build"))
CLASS = "killed"
KILL_AT = ROOT / "tests/kubernetes/kube/kill_at.py"
PORT = 8901


class Killed:
    """The controller, behind a proxy that kills it when it is told to."""

    def __init__(self, plexvol: Installation) -> None:
        self._plexvol = plexvol
        self._machine = plexvol.cluster.workers[NODES[0]].machine
        self._orders = 0
        self.folder = self._machine.folder / "kill-at"

    def start(self) -> None:
        write_account(self._plexvol, self._machine.see(self.folder))
        words = [API_SERVER, self.folder / "ca.crt", self.folder / "token", str(PORT), self.folder / "log",
                 self.folder / "order"]  # fmt: skip
        killed = command(BUILD, f"http://127.0.0.1:{PORT}", "--identity=killed", "--log-level=debug")
        self._machine.start("kill-at", ["python3", "-B", KILL_AT, *words, "--", *killed])

    def leads(self) -> bool:
        return 'msg="leading"' in self._machine.log_path("kill-at").read_text()

    def stop(self) -> None:
        self._machine.stop("kill-at")

    def _see(self, name: str) -> Path:
        return self._machine.see(self.folder / name)

    def requests(self) -> list[str]:
        """Since the last order."""
        path = self._see("log")
        return path.read_text().splitlines() if path.exists() else []

    def order(self, what: str) -> None:
        """"3 before" or "3 after"; "": it lives. What was counted is forgotten."""
        self._orders += 1
        self._see("log").write_text("")
        self._see("order").write_text(f"{what} # {self._orders}")

    def hold(self) -> None:
        """Once it is dead, it stays so until let_go()."""
        self._see("order.hold").touch()

    def let_go(self) -> None:
        self._see("order.hold").unlink()


@pytest.fixture
def killed(plexvol: Installation, workloads: Workloads) -> Iterator[Killed]:
    with without_deployment(plexvol):
        workloads.apply(storage_class(CLASS, RIGHT))
        one = Killed(plexvol)
        one.start()
        wait_until(one.leads, PATIENCE, "the controller behind the proxy leads")
        yield one
        one.stop()


def live(name: str, workloads: Workloads, claims: Claims) -> str:
    """A claim is made, gets its volume, is deleted, and nothing is left. The volume's name."""
    workloads.apply(claim(name, CLASS))
    [volume] = claims.wait_bound(name)
    claims.delete(name)
    claims.wait_gone(volume)
    return volume


@pytest.mark.long
def test_a_controller_that_dies_at_any_request(killed: Killed, workloads: Workloads, claims: Claims) -> None:
    killed.order("")
    live("lives", workloads, claims)
    requests = killed.requests()
    kinds = {request.partition(" ")[0] for request in requests}
    assert kinds == {"GET", "POST", "PATCH", "DELETE"}, requests
    for number in range(1, len(requests) + 1):
        for when in ("before", "after"):
            killed.order(f"{number} {when}")
            live(f"dies-{number}-{when}", workloads, claims)
            print(f"killed {when} {requests[number - 1]}")
    killed.order("")


@pytest.mark.long
def test_a_claim_that_is_deleted_while_nobody_leads(plexvol: Installation, killed: Killed, workloads: Workloads,
                                                    claims: Claims) -> None:
    """Whatever was made by then goes: the volume without a PersistentVolume, too."""
    killed.order("")
    workloads.apply(claim("made", CLASS))
    [volume] = claims.wait_bound("made")
    requests = killed.requests()
    claims.delete("made")
    claims.wait_gone(volume)
    for number, request in enumerate(requests, start=1):
        name = f"gone-{number}"
        killed.order(f"{number} after")
        killed.hold()
        workloads.apply(claim(name, CLASS))
        volume = claims.volume_name(name)
        wait_until(lambda number=number: len(killed.requests()) >= number, PATIENCE, f"it dies after {request}")
        claims.delete(name)
        wait_until(lambda name=name: claims.find(name) is None, PATIENCE, f"claim {name} is gone")
        killed.let_go()
        claims.wait_gone(volume)
    killed.order("")
