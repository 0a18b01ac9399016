"""installer/render: what it makes for a cluster is what the API knows, and what it starts works."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rendered import CASES, ETCD_NODES, MEMBERS, ROOT, container, find, manifests, render
from schemas import FOLDER, VERSIONS, Schemas

from lab import wait_until

sys.path.insert(0, str(ROOT / "tests" / "lab" / "guest"))

from pod import expand_probe  # noqa: E402

BUILD = Path(os.environ.get("PLEXVOL_BUILD", ROOT / "build"))


def known(found: list[dict[str, Any]], version: str) -> list[dict[str, Any]]:
    """The schemas of 1.9 do not have those of the servers beside the API server itself."""
    return [one for one in found if version != "1.9" or one["kind"] != "CustomResourceDefinition"]


@pytest.mark.skipif(not FOLDER.exists(), reason="the API schemas lie beside a developer's checkout only")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_what_the_api_knows(version: str, case: str) -> None:
    schemas = Schemas(version)
    found = known(manifests("--kubernetes", version, *CASES[case]), version)
    assert [error for one in found for error in schemas.errors(one)] == []


@pytest.mark.skipif(not FOLDER.exists(), reason="the API schemas lie beside a developer's checkout only")
def test_what_is_rendered_for_1_8_has_an_api_that_1_8_knows() -> None:
    """There are no schemas of 1.8; 1.9 has that API still."""
    found = manifests("--kubernetes", "1.8", "--etcd-nodes", ETCD_NODES)
    assert {one["apiVersion"] for one in found} == {
        "v1", "extensions/v1beta1", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1", "apiextensions.k8s.io/v1beta1"}
    schemas = Schemas("1.9")
    assert [error for one in known(found, "1.9") for error in schemas.errors(one)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of --etcd, --etcd-nodes and --embedded is needed"),
        (["--embedded", "--etcd", "http://a:1"], "one of --etcd, --etcd-nodes and --embedded is needed"),
        (["--embedded", "--etcd-files", "x"], "uses no etcd"),
        (["--embedded", "--pool", "x=/"], "must be like fast=vg0"),
        (["--embedded", "--pool", "x=/a/../b"], "must be like fast=vg0"),
        (["--etcd-nodes", "n1=10.0.0.1,n2=10.0.0.2"], "an odd number of members"),
        (["--etcd-nodes", "n1=somewhere"], "does not appear to be an IPv4 or IPv6 address"),
        (["--etcd-nodes", "N 1=10.0.0.1"], "is no node's name"),
        (["--etcd-nodes", "n1=10.0.0.1,n1=10.0.0.2,n2=10.0.0.3,n3=10.0.0.4"], "twice"),
        (["--etcd-nodes", "n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.1"], "twice"),
        (["--etcd", "10.0.0.1"], "must be like https://10.0.0.1:2379"),
        (["--etcd", "http://a:1", "--pool", "x"], "must be like fast=vg0"),
        (["--etcd", "http://a:1", "--kubernetes", "1.7"], "from 1.8 on"),
        (["--etcd", "http://a:1", "--attach"], "--plugin-dir"),
        (["--etcd", "http://a:1", "--runtime-socket", "crio.sock"], "must begin with /"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(arguments: list[str], words: str) -> None:
    done = render(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize("case", [case for case in CASES if case != "uninstall"])
def test_the_agent_takes_its_configuration(tmp_path: Path, case: str) -> None:
    text = find("ConfigMap", "plexvol", manifests(*CASES[case]))["data"]["plexvold.json"]
    # Where the Secret is mounted.
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).touch()
    (tmp_path / "plexvold.json").write_text(text.replace("/etc/plexvol-etcd", str(tmp_path)))
    agent = [BUILD / "plexvold", "--config", tmp_path / "plexvold.json", "--check-config"]
    done = subprocess.run(agent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


POOL_NAMES = ["kube_vg", "Fast.1", "_", ".x", "7", "a" * 63]
NO_POOL_NAMES = ["", ".", "..", "-a", "a b", "a/b", "ä", "a" * 64]


@pytest.mark.parametrize("name", [*POOL_NAMES, *NO_POOL_NAMES])
def test_a_pool_may_be_called_as_the_agent_allows(name: str) -> None:
    """A volume group's name among them: the options of the classic LVM driver name the pool so."""
    agent = [BUILD / "plexvold", "--without-config", f"--pool=name={name},type=lvm,volume_group=vg0", "--check-config"]
    allowed = subprocess.run(agent, capture_output=True, timeout=60).returncode == 0
    assert allowed == (name in POOL_NAMES)
    done = render("--etcd", "http://a:1", f"--pool={name}=vg0")
    assert (done.returncode == 0) == allowed, done.stderr


@pytest.mark.finding("K13")
def test_a_pool_of_files_is_there_for_the_agent_as_on_the_host() -> None:
    found = manifests("--embedded", "--pool", "images=/srv/images", "--pool", "more=/srv/images", "--pool", "fast=vg0")
    config = json.loads(find("ConfigMap", "plexvol", found)["data"]["plexvold.json"])
    assert config["store"] == {"kind": "embedded"}
    assert {"name": "images", "type": "file", "directory": "/srv/images"} in config["pools"]
    agent = find("DaemonSet", "plexvold", found)
    (name,) = [volume["name"] for volume in agent["spec"]["template"]["spec"]["volumes"]
               if volume.get("hostPath") == {"path": "/srv/images", "type": "DirectoryOrCreate"}]
    for one in ("doctor", "plexvold"):
        assert {"name": name, "mountPath": "/srv/images"} in container(agent, one)["volumeMounts"]
    assert [one["kind"] for one in found] == ["ServiceAccount", "ConfigMap", "DaemonSet"]


@pytest.mark.finding("K13")
def test_nothing_is_made_on_a_host_that_lacks_it() -> None:
    """A kubelet makes a hostPath that is not there, but for /, /dev and what is ours or must be there."""
    ours = ("/", "/dev", "/run/lock", "/run/plexvol", "/var/lib/plexvol", "/var/lib/plexvol/etcd", "/var/lib/images")
    plugins = "/etc/kubernetes/volumeplugins"
    for case in CASES.values():
        for one in manifests(*case):
            for volume in one.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
                assert volume.get("hostPath", {}).get("path", "/") in (*ours, plugins)


@pytest.mark.finding("K13")
def test_the_uninstaller_says_what_stays() -> None:
    uninstall = find("DaemonSet", "plexvol-uninstall", manifests("--uninstall"))
    words = " ".join(uninstall["metadata"]["annotations"]["plexvol.stays"].split())
    readme = (ROOT / "installer" / "README.md").read_text()
    installed = [*manifests("--etcd-nodes", ETCD_NODES), *manifests("--uninstall")]
    # They are deleted first.
    gone = [("Deployment", "plexvol-controller"), ("DaemonSet", "plexvold"), ("DaemonSet", "plexvol-etcd")]
    for one in installed:
        kind, name = one["kind"], one["metadata"]["name"]
        if (kind, name) not in gone:
            assert re.search(rf"\b{kind}(e?s)?\b", words) and name in words and name in readme, (kind, name)
    for path in ("/var/lib/plexvol", "/var/lib/plexvol/etcd"):
        assert path in words and path in readme


def test_certificates_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    files = tmp_path / "kept"
    first = manifests("--etcd-nodes", ETCD_NODES, "--etcd-files", str(files))
    assert files.stat().st_mode & 0o777 == 0o700
    assert manifests("--etcd-nodes", ETCD_NODES, "--etcd-files", str(files)) == first
    assert manifests("--etcd-nodes", ETCD_NODES) != first
    (files / "client.key").unlink()
    lacking = render("--etcd-nodes", ETCD_NODES, "--etcd-files", str(files))
    assert lacking.returncode == 1 and "client.key" in lacking.stderr


def test_a_member_that_comes_later_is_in_the_certificate(tmp_path: Path) -> None:
    files = tmp_path / "kept"
    first = manifests("--etcd-nodes", ETCD_NODES, "--etcd-files", str(files))
    later = manifests("--etcd-nodes", f"{ETCD_NODES},n4=127.0.0.4,n5=127.0.0.5", "--etcd-files", str(files))
    assert find("Secret", "plexvol-etcd", first) == find("Secret", "plexvol-etcd", later)
    for address in ("127.0.0.1", "127.0.0.5"):
        asked = ["openssl", "x509", "-noout", "-checkip", address, "-in", files / "member.crt"]
        assert "does match" in subprocess.run(asked, capture_output=True, text=True).stdout
    verified = ["openssl", "verify", "-CAfile", files / "ca.crt", files / "member.crt"]
    assert subprocess.run(verified, capture_output=True).returncode == 0


def test_a_member_is_found_by_its_nodes_label_and_called_by_its_address() -> None:
    """Never by the node's name: a cloud's nodes are often called otherwise than their label kubernetes.io/hostname."""
    etcd = find("DaemonSet", "plexvol-etcd", manifests("--etcd-nodes", ETCD_NODES))
    pod = etcd["spec"]["template"]["spec"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": list(MEMBERS)}]}
    command = container(etcd, "etcd")["command"]
    assert "--name=$(ADDRESS)" in command
    cluster = ",".join(f"{address}=https://{address}:2390" for address in MEMBERS.values())
    assert f"--initial-cluster={cluster}" in command
    assert "spec.nodeName" not in json.dumps(etcd)


def test_no_secret_is_in_a_config_map_or_a_command_line() -> None:
    for one in manifests("--etcd-nodes", ETCD_NODES):
        assert "PRIVATE KEY" not in json.dumps(one)
        assert one["kind"] == "Secret" or "BEGIN" not in json.dumps(one)


def test_no_container_that_stays_sees_the_hosts_root() -> None:
    """It would keep what was mounted there when it started, and an unmounted volume would stay busy."""
    for case in CASES.values():
        for one in manifests(*case):
            if one["kind"] != "DaemonSet":
                continue
            pod = one["spec"]["template"]["spec"]
            roots = {volume["name"] for volume in pod["volumes"] if volume.get("hostPath", {}).get("path") == "/"}
            for running in pod["containers"]:
                assert roots.isdisjoint(mount["name"] for mount in running.get("volumeMounts", []))


class OwnEtcd:
    """The members as their pods would start them, with what the kubelet fills in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifests = manifests("--etcd-nodes", ETCD_NODES)
        self.processes: list["subprocess.Popen[bytes]"] = []
        for name in ("plexvol-etcd-member", "plexvol-etcd"):
            folder = directory / name
            folder.mkdir()
            for file, data in find("Secret", name, self.manifests)["data"].items():
                (folder / file).write_bytes(base64.b64decode(data))

    def start(self) -> None:
        command = container(find("DaemonSet", "plexvol-etcd", self.manifests), "etcd")["command"]
        for name, address in MEMBERS.items():
            # Nodes may have another name than their label kubernetes.io/hostname, by which --etcd-nodes knows them.
            places = {"$(NODE_NAME)": f"{name}.example.com", "$(ADDRESS)": address, "=/data/": f"={self.directory}/{name}/",
                      "/etc/plexvol-etcd": f"{self.directory}/plexvol-etcd-member"}
            argv = []
            for word in command:
                for place, value in places.items():
                    word = word.replace(place, value)
                argv.append(word)
            (self.directory / name).mkdir()
            with (self.directory / f"{name}.log").open("w") as log:
                self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log))

    def is_ready(self, address: str) -> bool:
        """As the kubelet of that member asks: the probe's command, in the container with its environment."""
        command = expand_probe(container(find("DaemonSet", "plexvol-etcd", self.manifests), "etcd"))
        argv = [word.replace("/etc/plexvol-etcd", f"{self.directory}/plexvol-etcd-member") for word in command]
        done = subprocess.run(argv, env={"ADDRESS": address, "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=60)
        return done.returncode == 0

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[OwnEtcd]:
    for address in MEMBERS.values():
        with socket.socket() as probe:
            if probe.connect_ex((address, 2389)) == 0:
                pytest.skip(f"something listens on {address}:2389 already")
    etcd = OwnEtcd(tmp_path)
    etcd.start()
    yield etcd
    etcd.stop()


@pytest.mark.finding("O20")
def test_a_member_gets_ready_and_is_not_without_the_others(own_etcd: OwnEtcd) -> None:
    for address in MEMBERS.values():
        wait_until(lambda address=address: own_etcd.is_ready(address), 60, f"{address} is ready")
    for process in own_etcd.processes[1:]:
        process.kill()
        process.wait()
    assert not own_etcd.is_ready(MEMBERS["n1"])


@pytest.mark.finding("O20")
@pytest.mark.parametrize("address", ["fd00::1", "10.0.0.1"])
def test_a_probe_asks_the_pods_own_address(tmp_path: Path, address: str) -> None:
    program = tmp_path / "etcdctl"
    program.write_text('#!/bin/sh\necho "$1"\n')
    program.chmod(0o755)
    command = expand_probe(container(find("DaemonSet", "plexvol-etcd", manifests("--etcd-nodes", f"n1={address}")), "etcd"))
    argv = [word.replace("/usr/bin/etcdctl", str(program)) for word in command]
    said = subprocess.run(argv, env={"ADDRESS": address, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60)
    shown = f"[{address}]" if ":" in address else address
    assert said.stdout == f"--endpoints=https://{shown}:2389\n", said


@pytest.mark.finding("O20")
def test_a_kubelet_knows_what_it_expands() -> None:
    """In a command all of the container's environment; in a probe's what has a value of its own."""
    for case in CASES.values():
        for one in manifests(*case):
            pod = one.get("spec", {}).get("template", {}).get("spec", {})
            for found in [*pod.get("initContainers", []), *pod.get("containers", [])]:
                names = {variable["name"] for variable in found.get("env", [])}
                literal = {variable["name"] for variable in found.get("env", []) if "value" in variable}
                used = set(re.findall(r"(?<!\$)\$\((\w+)\)", json.dumps([found["command"], found.get("args", [])])))
                assert used <= names, found["name"]
                others = json.dumps({key: value for key, value in found.items() if key not in ("command", "args")})
                assert set(re.findall(r"(?<!\$)\$\((\w+)\)", others)) <= literal, found["name"]


def test_an_etcd_of_our_own_starts_and_an_agent_reaches_it(own_etcd: OwnEtcd, tmp_path: Path) -> None:
    text = find("ConfigMap", "plexvol", own_etcd.manifests)["data"]["plexvold.json"]
    (tmp_path / "plexvold.json").write_text(text.replace("/etc/plexvol-etcd", f"{tmp_path}/plexvol-etcd"))
    doctor = [BUILD / "plexvold", "--config", tmp_path / "plexvold.json", "--node-name", "n1", "--doctor"]
    logs = [path.name for path in tmp_path.glob("*.log")]
    for _ in range(20):  # each waits for the store by itself, for 5 s at most
        said = subprocess.run(doctor, capture_output=True, text=True, timeout=60).stdout
        if "etcd answers and lists 0 nodes" in said:
            break
    assert "etcd answers and lists 0 nodes" in said, (said, logs)
    assert "3 answer" in said
