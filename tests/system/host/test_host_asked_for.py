"""What people ask for is what they get, or they are told."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from plexvol_host import BUILD, NODE, Host


def of_pod(host: Host, name: str, namespace: str, **own: str) -> str:
    """What `mount` is given besides: the kubelet says whose pod it is."""
    return json.dumps({**json.loads(host.options(name, **own)), "kubernetes.io/pod.namespace": namespace})


def pool(host: Host) -> dict[str, Any]:
    (node,) = json.loads(host.plexvol("node", "list", "-o", "json").stdout)["nodes"]
    (found,) = node["pools"]
    assert isinstance(found, dict)
    return found


def mounted_once(host: Host, name: str, asked: str) -> str:
    """What was said of a mount that went well, and is undone."""
    reply = host.mounting.must("mount", host.pod_dir(name), asked)
    host.mounting.must("unmount", host.pod_dir(name))
    host.wait_detached(name)
    return reply.message


# Options


@pytest.mark.finding("O7")
@pytest.mark.parametrize(("option", "near"), [("replica", "replicas"), ("Pool", "pool"), ("fstype", "fsType")])
def test_an_unknown_option_makes_no_volume(host: Host, option: str, near: str) -> None:
    asked = host.options("pv-1", size="64Mi", **{option: "2"})
    before = host.wishes()
    naming = (f'option "{option}" is unknown (did you mean "{near}"?)',)
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=naming)
    host.attaching.refused("attach", asked, NODE, naming=naming)
    assert host.wishes() == before


@pytest.mark.finding("O7")
def test_what_is_attached_stays_so_with_options_that_an_older_agent_took(host: Host) -> None:
    host.create("pv-1")
    host.attaching.must("attach", host.options("pv-1"), NODE)
    old = host.options("pv-1", colour="red")
    assert host.attaching.must("isattached", old, NODE).json["attached"] is True
    assert host.attaching.must("isattached", old, "n2").json["attached"] is False
    host.attaching.must("waitforattach", "", old)
    host.attaching.must("detach", "pv-1", NODE)


@pytest.mark.finding("O7")
def test_fewer_copies_than_asked_for_are_told_everywhere(host: Host) -> None:
    asked = host.options("pv-1", size="64Mi")
    assert mounted_once(host, "pv-1", asked) == ""
    said = mounted_once(host, "pv-1", host.options("pv-1", replicas="2"))
    assert said.startswith("volume pv-1 has 1 replica, but 2 are requested: ")
    assert said in host.log_path.read_text()
    assert "1 of 2 asked for" in host.plexvol("volume", "show", "pv-1").stdout
    assert f"{NODE} (1 of 2 asked for)" in host.plexvol("volume", "list").stdout
    # Until a person takes it back: another manifest does not.
    assert mounted_once(host, "pv-1", host.options("pv-1", replicas="1")) == ""
    assert host.volume("pv-1")["copies_asked"] == 2
    assert host.plexvol("volume", "set", "pv-1", "--copies", "1").returncode == 0
    assert host.volume("pv-1")["copies_asked"] == 0


# mkfsOptions


@pytest.mark.finding("O6")
@pytest.mark.parametrize(("fs_type", "size", "words"), [("ext4", "64Mi", "-I 100"), ("xfs", "320Mi", "-i size=100")])
def test_mkfs_is_asked_before_a_volume_is_made(host: Host, fs_type: str, size: str, words: str) -> None:
    asked = host.options("pv-1", size=size, fs_type=fs_type, mkfsOptions=words)
    before = host.wishes()
    host.mounting.refused("mount", host.pod_dir("pv-1"), asked, naming=(f"mkfs.{fs_type} does not take", "100"))
    done = host.plexvol("volume", "create", "pv-1", "--size", size, "--fs-type", fs_type, f"--mkfs-options={words}")
    assert done.returncode == 1 and "does not take these mkfsOptions" in done.stderr
    assert host.wishes() == before


@pytest.mark.finding("O6")
def test_a_corrected_manifest_counts_until_the_volume_is_formatted(host: Host) -> None:
    host.create("pv-1", mkfs_options="-I 128")
    said = mounted_once(host, "pv-1", host.options("pv-1", mkfsOptions="-I 512"))
    assert said == ""
    features = host.machine.run("dumpe2fs", "-h", host.pool / "pv-1.img")
    assert [line.split()[-1] for line in features.splitlines() if line.startswith("Inode size")] == ["512"]
    # Now it is too late, and that is said.
    said = mounted_once(host, "pv-1", host.options("pv-1", mkfsOptions="-I 256"))
    assert said.startswith('volume pv-1 was formatted with mkfsOptions "-I 512"')
    assert mounted_once(host, "pv-1", host.options("pv-1", mkfsOptions=" -I  512")) == ""


# Tenants


@pytest.mark.finding("S7")
@pytest.mark.parametrize("attach", [False, True])
def test_a_pod_of_another_namespace_does_not_get_the_volume(host: Host, attach: bool) -> None:
    driver = host.attaching if attach else host.mounting
    first, other = host.pod_dir("data", "pod1"), host.pod_dir("data", "pod2")
    if attach:
        driver.must("attach", host.options("data", size="64Mi"), NODE)
    driver.must("mount", first, of_pod(host, "data", "shop", size="64Mi"))
    host.see(first / "secret").write_text("the shop's")
    naming = ("volume data belongs to namespace shop", "namespace bank", "plexvol volume set data --namespace bank")
    driver.refused("mount", other, of_pod(host, "data", "bank", size="64Mi"), naming=naming)
    assert host.mounts() == [str(first)]
    assert host.volume("data")["namespace"] == "shop"
    assert "shop" in host.plexvol("volume", "list").stdout
    driver.must("unmount", first)
    # Nor later, when it is in nobody's use; a second pod of the first one does.
    driver.refused("mount", other, of_pod(host, "data", "bank", size="64Mi"), naming=naming)
    driver.must("mount", other, of_pod(host, "data", "shop"))
    driver.must("unmount", other)
    if attach:
        driver.must("detach", "data", NODE)
    host.wait_detached("data")


@pytest.mark.finding("S7")
def test_a_person_says_whose_it_is_from_now_on(host: Host) -> None:
    host.create("data", namespace="shop")
    bank, shop = of_pod(host, "data", "bank"), of_pod(host, "data", "shop")
    host.mounting.refused("mount", host.pod_dir("data"), bank, naming="belongs to namespace shop")
    assert host.plexvol("volume", "set", "data", "--namespace", "bank").returncode == 0
    mounted_once(host, "data", bank)
    host.mounting.refused("mount", host.pod_dir("data"), shop, naming="belongs to namespace bank")
    assert host.plexvol("volume", "set", "data", "--any-namespace").returncode == 0
    for asked in (bank, shop):
        mounted_once(host, "data", asked)
    assert host.volume("data")["namespace"] == "*"


@pytest.mark.finding("S7")
def test_a_new_volume_of_the_same_name_is_anybodys(host: Host) -> None:
    mounted_once(host, "data", of_pod(host, "data", "shop", size="64Mi"))
    host.delete("data")
    mounted_once(host, "data", of_pod(host, "data", "bank", size="64Mi"))
    assert host.volume("data")["namespace"] == "bank"


# Promises


@pytest.mark.finding("O10")
def test_what_is_promised_is_seen_and_can_be_limited(host: Host) -> None:
    assert pool(host)["promised_bytes"] == 0
    host.create("pv-1", "320Mi")
    host.create("pv-2", "320Mi")
    assert pool(host)["promised_bytes"] == 640 << 20
    assert "% promised)" in host.plexvol("node", "list").stdout
    # So that the two are more than it may promise, whatever the size of this machine's disk.
    huge = f"{pool(host)['free_bytes'] // (1 << 20) // 2}Mi"
    host.create("pv-3", huge)
    assert "promised in pool files" not in host.plexvol("doctor").stdout
    limited = {"name": "files", "type": "file", "directory": str(host.pool), "max_promised_percent": 1}
    host.reconfigure(pools=[limited])
    assert pool(host)["max_promised_percent"] == 1
    done = host.plexvol("volume", "create", "pv-4", "--size", "64Mi")
    assert done.returncode == 1
    assert "is already promised to volumes" in done.stderr and "max_promised_percent is 1" in done.stderr
    assert "promised in pool files" in host.plexvol("doctor").stdout


# Names


@pytest.mark.finding("O5")
def test_no_volume_is_called_as_a_section_of_drbds_configuration(host: Host) -> None:
    before = host.wishes()
    done = host.plexvol("volume", "create", "global", "--size", "64Mi")
    assert done.returncode == 1 and "is a section of DRBD's configuration" in done.stderr
    host.mounting.refused("mount", host.pod_dir("common"), host.options("common", size="64Mi"), naming="section")
    assert host.wishes() == before


# The agent itself


@pytest.mark.finding("O9")
def test_an_agent_without_its_configuration_file_does_not_start(tmp_path: Path) -> None:
    if Path("/etc/plexvol/plexvold.json").exists():
        pytest.skip("this machine has one")
    own = [f"--{name}-directory={tmp_path}/{name}" for name in ("state", "device")]
    done = subprocess.run([BUILD / "plexvold", *own, f"--socket={tmp_path}/sock"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("plexvold: /etc/plexvol/plexvold.json: cannot be read (No such file or directory)")
    assert "--without-config" in done.stderr
    assert list(tmp_path.iterdir()) == []
