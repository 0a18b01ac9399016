"""Every manifest that we hand out, against the API of several Kubernetes versions."""

import re
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


def pods_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What the scheduler is given of it: nothing, a pod, or what pods are made from."""
    spec = manifest["spec"]
    return [spec] if manifest["kind"] == "Pod" else [spec["template"]["spec"]] if "template" in spec else []


def nodes_wanted(pod: dict[str, Any]) -> list[str]:
    """As an API server before 1.10 knows it, too, where a PersistentVolume has no node affinity yet."""
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    return [node for term in terms for expression in term["matchExpressions"]
            if (expression["key"], expression["operator"]) == ("kubernetes.io/hostname", "In")
            for node in expression["values"]]


MIRRORED = ["examples/pv-pvc-pod.yaml", "examples/statefulset.yaml"]


def test_all_examples_of_mirrored_volumes_are_known() -> None:
    assert [str(file) for file in FILES if 'replicas: "2"' in (ROOT / file).read_text()] == MIRRORED


@pytest.mark.parametrize("file", MIRRORED)
def test_pods_of_mirrored_volumes_run_where_a_copy_is(file: str) -> None:
    """Both nodes are named, for the pod and for the command that makes the volume there."""
    found = manifests(Path(file))
    (pod,) = [pod for manifest in found for pod in pods_of(manifest)]
    nodes = nodes_wanted(pod)
    assert len(nodes) == 2
    volumes = [manifest for manifest in found if manifest["kind"] == "PersistentVolume"]
    commands = re.findall(r"^# +plexvol volume create (\S+) (.*)$", (ROOT / file).read_text(), re.MULTILINE)
    assert [name for name, _ in commands] == [volume["metadata"]["name"] for volume in volumes]
    for volume, (_, words) in zip(volumes, commands):
        flex = volume["spec"]["flexVolume"]
        size, replicas = flex["options"]["size"], flex["options"]["replicas"]
        expected = f"--size {size} --replicas {replicas} --nodes {','.join(nodes)}"
        assert words == expected + (f" --fs-type {flex['fsType']}" if flex["fsType"] != "ext4" else "")


@needs_schemas
def test_what_the_api_would_drop_is_an_error(schemas: Schemas) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "imagee": "x"}]}}
    assert schemas.errors(pod) == ["Pod.spec.containers[0].imagee is unknown"]
    assert schemas.errors({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": "c"}}) == [
        "Pod.spec.containers: no list"
    ]
    assert "Pod.spec.containers is missing" in schemas.errors({"apiVersion": "v1", "kind": "Pod", "spec": {}})
    assert schemas.errors({"apiVersion": "v2", "kind": "Pod"}) == ["there is no Pod in v2"]
