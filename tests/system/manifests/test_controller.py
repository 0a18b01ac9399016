"""installer/render: what the controller may do, where it runs, and the StorageClasses that it serves."""

import re
from typing import Any

import pytest
from rendered import CASES, find, manifests, render

NAME = "plexvol-controller"
ETCD = ["--etcd", "http://10.0.0.1:2379"]
LOCK = "plexvol.io-flexvolume"
WITH_CONTROLLER = [case for case in CASES if case not in ("embedded", "no controller", "uninstall")]

# By API group and resource. Whoever adds to these says in installer/render what for.
CLUSTER_RIGHTS = {
    ("", "persistentvolumeclaims"): {"get", "list", "watch", "patch"},
    ("", "persistentvolumes"): {"get", "list", "watch", "create", "delete"},
    ("storage.k8s.io", "storageclasses"): {"list", "watch"},
    ("", "nodes"): {"list", "watch", "patch"},
    ("", "nodes/status"): {"patch"},
    ("", "pods"): {"list", "delete"},
    ("", "events"): {"create", "patch"},
    ("plexvol.io", "plexvolvolumes"): {"get", "list", "watch", "create", "delete"},
    ("plexvol.io", "plexvolvolumes/status"): {"patch"},
    ("plexvol.io", "plexvolnodes"): {"get", "list", "watch", "create", "delete", "patch"},
    ("plexvol.io", "plexvolnodes/status"): {"patch"},
}
# Where nothing else grows a volume whose claim was made larger.
GROWTH_RIGHTS = {("", "persistentvolumes"): {"patch"}, ("", "persistentvolumeclaims/status"): {"patch"}}
TO_LEAD = {"get", "create", "update"}
LOCKS = {
    "1.8": {("coordination.k8s.io", "leases"): TO_LEAD, ("", "configmaps"): TO_LEAD},
    "1.12": {("coordination.k8s.io", "leases"): TO_LEAD, ("", "configmaps"): TO_LEAD},
    "1.13": {("coordination.k8s.io", "leases"): TO_LEAD, ("", "configmaps"): TO_LEAD},
    "1.14": {("coordination.k8s.io", "leases"): TO_LEAD},
    "1.20": {("coordination.k8s.io", "leases"): TO_LEAD},
}


def rights(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) <= {"apiGroups", "resources", "verbs", "resourceNames"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


@pytest.mark.parametrize("version", LOCKS)
def test_the_controller_may_do_what_it_does_and_nothing_else(version: str) -> None:
    found = manifests("--kubernetes", version, *ETCD)
    extra = GROWTH_RIGHTS if version == "1.12" else {}
    wanted = {what: CLUSTER_RIGHTS.get(what, set()) | extra.get(what, set()) for what in CLUSTER_RIGHTS | extra}
    assert rights(find("ClusterRole", NAME, found)) == wanted
    role = find("Role", NAME, found)
    assert role["metadata"]["namespace"] == "kube-system"
    assert rights(role) == LOCKS[version]
    # Of others' locks and ConfigMaps there it reads and changes none.
    assert all(rule["verbs"] == ["create"] or rule["resourceNames"] == [LOCK] for rule in role["rules"])


@pytest.mark.parametrize("case", CASES)
def test_no_agent_has_any_rights(case: str) -> None:
    """Whoever takes over a node gets no more of the cluster than that node's kubelet has."""
    found = manifests(*CASES[case])
    roles = {(one["kind"], one["metadata"]["name"]) for one in found if one["kind"] in ("Role", "ClusterRole")}
    bindings = [one for one in found if one["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    assert len(bindings) == (2 if case in WITH_CONTROLLER else 0)
    for one in bindings:
        assert one["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "kube-system"}]
        assert (one["roleRef"]["kind"], one["roleRef"]["name"]) in roles
    for one in found:
        if one["kind"] == "DaemonSet":
            assert one["spec"]["template"]["spec"]["serviceAccountName"] == "plexvol"
    assert find("ServiceAccount", "plexvol", found)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("version", LOCKS)
def test_nobody_reads_secrets_or_gets_more_rights(version: str) -> None:
    for one in manifests("--kubernetes", version, *ETCD):
        for rule in one.get("rules", []):
            assert not {"*", "secrets"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


@pytest.mark.parametrize("version", LOCKS)
def test_each_rule_says_what_it_is_for(version: str) -> None:
    done = render("--kubernetes", version, *ETCD)
    lines = done.stdout.splitlines()
    rules = [number for number, line in enumerate(lines) if re.match(r" *- apiGroups:", line)]
    assert len(rules) == sum(len(one.get("rules", [])) for one in manifests("--kubernetes", version, *ETCD))
    for number in rules:
        assert re.match(r" *# \w+.* \w+", lines[number - 1]), lines[number - 1 : number + 5]
    # A reason that YAML had to quote would not have become a comment.
    assert "'#'" not in done.stdout


@pytest.mark.parametrize("case", ["embedded", "no controller"])
def test_it_can_be_left_out(case: str) -> None:
    found = manifests(*CASES[case])
    assert {one["kind"] for one in found} == {"ServiceAccount", "ConfigMap", "DaemonSet"}
    assert NAME not in render(*CASES[case]).stdout


def test_the_help_says_that_an_embedded_store_has_none() -> None:
    said = " ".join(render("--help").stdout.split())
    (embedded,) = re.findall(r"--embedded no etcd: .*? --no-controller leave", said)
    assert "implies --no-controller" in embedded


def pod_of(version: str) -> dict[str, Any]:
    deployment = find("Deployment", NAME, manifests("--kubernetes", version, *ETCD))
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_its_container_has_no_privilege() -> None:
    pod = pod_of("1.20")
    assert not {"hostPID", "hostIPC"} & set(pod)
    (found,) = pod["containers"]
    security = found["securityContext"]
    assert "privileged" not in security and security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False
    (volume,) = pod["volumes"]
    assert volume["hostPath"]["path"] == "/run/plexvol"
    assert found["volumeMounts"] == [{"name": volume["name"], "mountPath": "/run/plexvol", "readOnly": True}]


def test_it_runs_beside_an_agent_and_not_twice_on_a_node() -> None:
    found = manifests(*ETCD)
    affinity = pod_of("1.12")["affinity"]
    (beside,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (apart,) = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    for term, kind, name in ((beside, "DaemonSet", "plexvold"), (apart["podAffinityTerm"], "Deployment", NAME)):
        labels = find(kind, name, found)["spec"]["template"]["metadata"]["labels"]
        assert term == {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}


def test_it_leaves_a_dead_node_and_is_not_put_there_again() -> None:
    """A toleration without an effect would hold for NoSchedule, too."""
    tolerated = [one for one in pod_of("1.12")["tolerations"] if one["key"].startswith("node.kubernetes.io/")]
    assert {one["key"].partition("/")[2] for one in tolerated} == {"not-ready", "unreachable"}
    assert {(one["effect"], one["tolerationSeconds"]) for one in tolerated} == {("NoExecute", 10)}


def test_it_is_critical_as_each_version_says_it() -> None:
    for version, name in (("1.10", None), ("1.11", "system-cluster-critical")):
        deployment = find("Deployment", NAME, manifests("--kubernetes", version, *ETCD))
        template = deployment["spec"]["template"]
        assert template["spec"].get("priorityClassName") == name
        annotated = "scheduler.alpha.kubernetes.io/critical-pod" in template["metadata"]["annotations"]
        assert annotated == (name is None)


@pytest.mark.parametrize(("version", "mode"), [("1.11", None), ("1.12", "WaitForFirstConsumer")])
def test_a_class_waits_for_the_pod_where_the_scheduler_can_tell_its_node(version: str, mode: str | None) -> None:
    found = manifests("--kubernetes", version, "--pool", "fast=vg0", "--pool", "default=vg1", *ETCD)
    for name, copies in (("plexvol", "1"), ("plexvol-mirrored", "2")):
        one = find("StorageClass", name, found)
        assert "namespace" not in one["metadata"]
        assert one["provisioner"] == "plexvol.io/flexvolume" and one["reclaimPolicy"] == "Delete"
        assert one["parameters"] == {"copies": copies, "pool": "fast"}
        assert one.get("volumeBindingMode") == mode


@pytest.mark.parametrize(("version", "grows"), [("1.10", None), ("1.11", True)])
def test_claims_may_be_made_larger_where_their_size_can_be_changed(version: str, grows: bool | None) -> None:
    for name in ("plexvol", "plexvol-mirrored"):
        found = find("StorageClass", name, manifests("--kubernetes", version, *ETCD))
        assert found.get("allowVolumeExpansion") is grows


def test_another_pool_leaves_the_classes_as_they_are() -> None:
    """A StorageClass cannot be changed: `kubectl apply` would fail."""
    one = manifests("--pool", "fast=vg0", *ETCD)
    two = manifests("--pool", "fast=vg0", "--pool", "default=vg1", *ETCD)
    for name in ("plexvol", "plexvol-mirrored"):
        assert find("StorageClass", name, one) == find("StorageClass", name, two)
