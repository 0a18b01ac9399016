"""`plexvol pv`: a volume as a PersistentVolume, for clusters without the controller."""

import json
from typing import Any

import pytest
import yaml
from fake_agent import FakeAgent, error, result
from lone_driver import Driver

VOLUME: dict[str, Any] = {"name": "data", "size_bytes": 3 << 29, "fs_type": "xfs", "namespace": "shop",
                          "replicas": [{"node": "n1"}, {"node": "n2", "alive": False}]}
PV = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "data"},
      "spec": {"capacity": {"storage": "1536Mi"}, "accessModes": ["ReadWriteOnce"],
               "persistentVolumeReclaimPolicy": "Retain",
               "flexVolume": {"driver": "plexvol/plexvol", "fsType": "xfs", "options": {"volume": "data"}},
               "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                   {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2"]}]}]}}}}
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "orders", "namespace": "shop"},
         "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "data",
                  "resources": {"requests": {"storage": "1536Mi"}}}}
BOUND = {**PV, "spec": {**PV["spec"], "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                                                   "namespace": "shop", "name": "orders"}}}


@pytest.fixture(autouse=True)
def shown(request: pytest.FixtureRequest) -> None:
    if "agent" in request.fixturenames:
        request.getfixturevalue("agent").answers["/v1/volume/show"] = result(VOLUME)


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def test_a_volume_is_a_persistent_volume_on_the_nodes_of_its_copies(driver: Driver, agent: FakeAgent) -> None:
    outcome = driver.run("pv", "data")
    assert (outcome.status, outcome.err) == (0, "")
    assert documents(outcome.out) == [PV]
    assert agent.request("/v1/volume/show").body == {"name": "data"}
    comments = [line for line in outcome.out.splitlines() if line.startswith("#")]
    assert "nodeAffinity cannot be changed" in " ".join(line.removeprefix("# ") for line in comments)
    assert [line for line in outcome.out.splitlines() if line and line[0] not in "# -"] == [
        "apiVersion: v1", "kind: PersistentVolume", "metadata:", "spec:"]


def test_a_claim_is_printed_with_the_volume_that_is_for_it_alone(driver: Driver, agent: FakeAgent) -> None:
    outcome = driver.run("pv", "data", "--claim", "shop/orders")
    assert outcome.status == 0 and documents(outcome.out) == [BOUND, CLAIM]
    as_json = json.loads(driver.run("pv", "data", "--claim", "shop/orders", "-o", "json").out)
    assert as_json == {"apiVersion": "v1", "kind": "List", "items": [BOUND, CLAIM]}


def test_json_without_a_claim_is_the_volume(driver: Driver, agent: FakeAgent) -> None:
    assert json.loads(driver.run("pv", "data", "-o", "json").out) == PV
    assert json.loads(driver.run("-o", "json", "pv", "data").out) == PV


def test_what_is_asked_for_stands_in_volume_and_claim(driver: Driver, agent: FakeAgent) -> None:
    volume, claim = documents(driver.run(
        "pv", "--access-mode", "ReadWriteOnce,ReadOnlyMany", "data", "--access-mode", "ReadWriteMany", "--storage-class",
        "fast", "--claim", "shop/orders", "--pv-name", "pv-1").out)
    modes = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]
    for manifest in (volume, claim):
        assert manifest["spec"]["accessModes"] == modes
        assert manifest["spec"]["storageClassName"] == "fast"
    assert volume["metadata"]["name"] == claim["spec"]["volumeName"] == "pv-1"
    assert volume["spec"]["flexVolume"]["options"] == {"volume": "data"}


@pytest.mark.parametrize("namespace", ["", "*", "shop"])
def test_a_claim_of_a_namespace_that_may_mount_it_is_taken(driver: Driver, agent: FakeAgent, namespace: str) -> None:
    agent.answers["/v1/volume/show"] = result({**VOLUME, "namespace": namespace})
    assert driver.run("pv", "data", "--claim", "shop/orders").status == 0


def test_a_claim_of_another_namespace_is_refused_with_what_to_do(driver: Driver, agent: FakeAgent) -> None:
    outcome = driver.run("pv", "data", "--claim", "dev/orders")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == ("plexvol: volume data belongs to namespace shop, and the claim is in dev; to change that: "
                           "plexvol volume set data --namespace dev\n")


@pytest.mark.parametrize(("words", "part"), [
    (["data", "--claim", "orders"], "expected NAMESPACE/NAME"), (["data", "--claim", "Shop/orders"], "namespace"),
    (["data", "--claim", "shop/"], "cannot be the name of a claim"),
    (["data", "--claim", "shop/a/b"], "cannot be the name of a claim"),
    (["data", "--storage-class", "a b"], "cannot be the name of a StorageClass"),
    (["Data_1"], "choose another by --pv-name"), (["data", "--pv-name", "A"], "cannot be the name of a PersistentVolume")])
def test_what_kubernetes_would_refuse_is_refused_before_anybody_is_asked(
        driver: Driver, agent: FakeAgent, words: list[str], part: str) -> None:
    outcome = driver.run("pv", *words)
    assert outcome.status == 1 and outcome.out == "" and part in outcome.err, outcome
    assert agent.requests == []


def test_a_name_that_kubernetes_does_not_take_can_be_replaced(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/show"] = result({**VOLUME, "name": "Data_1"})
    [volume] = documents(driver.run("pv", "Data_1", "--pv-name", "data-1").out)
    assert volume["metadata"]["name"] == "data-1"
    assert volume["spec"]["flexVolume"]["options"] == {"volume": "Data_1"}


@pytest.mark.parametrize(("change", "part"), [({"deleting": True}, "is being deleted"), ({"replicas": []}, "not known"),
                                              ({"size_bytes": 0}, "not known")])
def test_a_volume_that_cannot_be_used_is_refused(driver: Driver, agent: FakeAgent, change: dict[str, Any], part: str) -> None:
    agent.answers["/v1/volume/show"] = result({**VOLUME, **change})
    outcome = driver.run("pv", "data")
    assert outcome.status == 1 and outcome.out == "" and part in outcome.err, outcome
    agent.answers["/v1/volume/show"] = error("NotFound", "no volume named data")
    assert driver.run("pv", "data").err == "plexvol: no volume named data\n"


@pytest.mark.parametrize("words", [[], ["data", "-o", "xml"], ["data", "-o", "table"], ["data", "--access-mode", "all"]])
def test_wrong_usage_of_pv_ends_with_2(driver: Driver, agent: FakeAgent, words: list[str]) -> None:
    outcome = driver.run("pv", *words)
    assert outcome.status == 2 and outcome.out == "" and "--help" in outcome.err
    assert agent.requests == []


# Nodes and file systems that YAML, as one of its versions or parsers reads it, would take for something else.
TEXTS = ["yes", "NO", "on", "y", "true", "null", "~", "1", "0x1f", "0o17", "017", "1e3", "1_000", "1:30", "1.5", ".inf", ".NaN",
         "2001-01-01", "2001-01-01T00:00:00Z", "", " a ", "a: b", "a #b", "- a", "-", "?", "<<", "=", "*a", "&a", "!!int 1", "{}",
         "[a]", "%a", "@a", "`a", "'a'", '"a"', "a\\b", "a\nb: c", "a\tb", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff",
         "\uffff", "\u00e4", "\U0001f600", "x" * 300, "10Gi", "1Gib", "a/b", "/a", "v1", "..", "...", "---"]


def test_every_text_comes_back_from_yaml_as_it_is(driver: Driver, agent: FakeAgent) -> None:
    agent.answers["/v1/volume/show"] = result({**VOLUME, "replicas": [{"node": text} for text in TEXTS]})
    out = driver.run("pv", "data").out
    [volume] = documents(out)
    [rule] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"]
    assert rule["values"] == TEXTS
    assert out.isascii() and out.replace("\n", "").isprintable()
