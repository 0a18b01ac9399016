"""Every manifest that we hand out, against the API of several Kubernetes versions."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from schemas import FOLDER, VERSIONS, Schemas

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(file.relative_to(ROOT) for folder in ("examples", "installer") for file in (ROOT / folder).rglob("*.yaml"))

needs_schemas = pytest.mark.skipif(not FOLDER.exists(), reason="the API schemas lie beside a developer's checkout only")


@pytest.fixture(scope="module", params=VERSIONS)
def schemas(request: pytest.FixtureRequest) -> Schemas:
    return Schemas(request.param)


def manifests(file: Path) -> list[dict[str, Any]]:
    return [manifest for manifest in yaml.safe_load_all((ROOT / file).read_text()) if manifest is not None]


@needs_schemas
@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_manifest_is_what_the_api_knows(schemas: Schemas, file: Path) -> None:
    found = manifests(file)
    assert found
    assert [error for manifest in found for error in schemas.errors(manifest)] == []


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "examples"], ids=str)
def test_options_are_text(file: Path) -> None:
    """A number without quotes is refused by the API server, with words that help nobody."""
    for manifest in manifests(file):
        spec = manifest["spec"]
        volumes = [spec, *spec.get("volumes", []), *spec.get("template", {}).get("spec", {}).get("volumes", [])]
        for volume in volumes:
            options = volume.get("flexVolume", {}).get("options", {})
            assert all(isinstance(value, str) for value in options.values()), options


@needs_schemas
def test_what_the_api_would_drop_is_an_error(schemas: Schemas) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "imagee": "x"}]}}
    assert schemas.errors(pod) == ["Pod.spec.containers[0].imagee is unknown"]
    assert schemas.errors({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": "c"}}) == [
        "Pod.spec.containers: no list"
    ]
    assert "Pod.spec.containers is missing" in schemas.errors({"apiVersion": "v1", "kind": "Pod", "spec": {}})
    assert schemas.errors({"apiVersion": "v2", "kind": "Pod"}) == ["there is no Pod in v2"]
