"""The controller's client of the API server, on a genuine one: tests/unit/kube/apiserver_test.cpp runs beside it."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube.cluster import Cluster
from kube.installation import Installation
from lab import wait_until

BUILD = Path(os.environ.get("PLEXVOL_BUILD", Path(__file__).resolve().parents[3] / "build"))
ACCOUNT = "api-client"
NAMESPACE = "default"
SECONDS = 60


def read_secret(cluster: Cluster) -> dict[str, bytes]:
    """The token's, which the controller-manager makes for an account; nothing before that."""
    account = cluster.get("-n", NAMESPACE, "serviceaccount", ACCOUNT)
    for reference in account.get("secrets", []):
        secret = cluster.get("-n", NAMESPACE, "secret", reference["name"])
        if secret and "token" in secret.get("data", {}):
            return {name: base64.b64decode(value) for name, value in secret["data"].items()}
    return {}


@pytest.fixture
def account(plexvol: Installation) -> Iterator[dict[str, bytes]]:
    """An account that may do everything: its token, and the authority of the API server."""
    cluster = plexvol.cluster
    cluster.kubectl("-n", NAMESPACE, "create", "serviceaccount", ACCOUNT)
    role = ["--clusterrole=cluster-admin", f"--serviceaccount={NAMESPACE}:{ACCOUNT}"]
    cluster.kubectl("create", "clusterrolebinding", ACCOUNT, *role)
    wait_until(lambda: read_secret(cluster), SECONDS, f"account {ACCOUNT} has a token")
    yield read_secret(cluster)
    cluster.kubectl("delete", "clusterrolebinding", ACCOUNT)
    cluster.kubectl("-n", NAMESPACE, "delete", "serviceaccount", ACCOUNT)


def test_the_client_does_what_the_api_server_means(plexvol: Installation, account: dict[str, bytes]) -> None:
    # `make test` builds those with the sanitizers alone.
    built = [folder / "tests" / "unit" for folder in (BUILD, BUILD / "asan") if (folder / "tests" / "unit").exists()]
    if not built:
        pytest.skip("the unit tests are not built: make unit")
    tests = built[0]
    control = plexvol.cluster.control
    folder = control.folder / "api-client"
    control.see(folder).mkdir(exist_ok=True)
    for name in ("token", "ca.crt"):
        control.see(folder / name).write_bytes(account[name])
    server = plexvol.cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    environment = [f"PLEXVOL_API_SERVER={server}", f"PLEXVOL_API_CA={folder}/ca.crt",
                   f"PLEXVOL_API_TOKEN_FILE={folder}/token"]  # fmt: skip
    done = control.ask("env", *environment, tests, "--test-suite=apiserver", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped: " not in done.stdout and "test cases: 0 " not in done.stdout, done.stdout
