"""installer/render: the definitions of the custom resources, as each version of Kubernetes knows them."""

import re
from pathlib import Path
from typing import Any

import pytest
from rendered import find, manifests

ETCD = ["--etcd", "http://10.0.0.1:2379"]
NAMES = {"plexvolvolumes.plexvol.io": ("PlexvolVolume", "pxv"), "plexvolnodes.plexvol.io": ("PlexvolNode", "pxn")}
HEADER = Path(__file__).resolve().parents[3] / "agent/view/names.h"


def spec_of(name: str, version: str) -> dict[str, Any]:
    spec: dict[str, Any] = find("CustomResourceDefinition", name, manifests("--kubernetes", version, *ETCD))["spec"]
    return spec


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", ["1.8", "1.10", "1.12", "1.15", "1.16", "1.20"])
def test_it_is_the_one_that_the_controller_writes(name: str, version: str) -> None:
    spec = spec_of(name, version)
    kind, short = NAMES[name]
    assert spec["scope"] == "Cluster" and spec["group"] == "plexvol.io"
    assert spec["names"]["kind"] == kind and spec["names"]["shortNames"] == [short]
    assert name == f"{spec['names']['plural']}.{spec['group']}"
    versions = {one["name"] for one in spec.get("versions", [])} | ({spec["version"]} if "version" in spec else set())
    assert len(versions) == 1
    written = re.findall(r'"(/apis/[^"]+)"', HEADER.read_text())
    assert f"/apis/plexvol.io/{versions.pop()}/{spec['names']['plural']}" in written


@pytest.mark.parametrize("name", NAMES)
def test_columns_and_a_status_of_its_own_where_the_server_knows_them(name: str) -> None:
    for version in ("1.8", "1.10"):
        assert not {"subresources", "additionalPrinterColumns", "versions"} & set(spec_of(name, version))
    for version, holder, path in (("1.11", spec_of(name, "1.11"), "JSONPath"),
                                  ("1.16", spec_of(name, "1.16")["versions"][0], "jsonPath")):
        assert holder["subresources"] == {"status": {}}, version
        columns = {one["name"]: one[path] for one in holder["additionalPrinterColumns"]}
        assert columns["State"] == ".status.state" and columns["Age"] == ".metadata.creationTimestamp"


@pytest.mark.parametrize(("version", "api"), [("1.15", "v1beta1"), ("1.16", "v1")])
def test_the_definitions_version_follows_the_cluster(version: str, api: str) -> None:
    for name in NAMES:
        found = find("CustomResourceDefinition", name, manifests("--kubernetes", version, *ETCD))
        assert found["apiVersion"] == f"apiextensions.k8s.io/{api}"


def test_a_node_can_be_asked_for_what_the_command_line_can() -> None:
    schema = spec_of("plexvolnodes.plexvol.io", "1.20")["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["spec"]["properties"]["placement"]["enum"] == ["normal", "cordoned", "draining"]
