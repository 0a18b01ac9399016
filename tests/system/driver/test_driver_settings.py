"""A settings file that is missing or broken does not make another driver of it."""

import json
import os
from pathlib import Path

import pytest
from lone_driver import Driver, Outcome

BROKEN = {"half": b'{"attach": tr', "no object": b"[]", "wrong type": b'{"attach": "true"}', "nothing": b"",
          "no text": b"\xff\xfe", "missing": None}


def plugin_dir(driver: Driver) -> Path:
    return driver.directory / "plugins"


def install(driver: Driver, *arguments: str) -> Outcome:
    return driver.run("driver", "install", "--root", str(driver.directory), "--plugin-dir", "/plugins", *arguments)


@pytest.fixture
def installed(driver: Driver) -> Driver:
    """As the installer puts it there, with attach."""
    assert install(driver, "--attach", "true").status == 0
    copy = Driver.__new__(Driver)
    copy.directory = plugin_dir(driver) / "plexvol~plexvol"
    copy.path = copy.directory / "plexvol"
    return copy


def break_settings(driver: Driver, content: bytes | None) -> None:
    path = driver.directory / ".plexvol.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.finding("K8")
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_the_last_good_settings_are_used_and_it_is_said(driver: Driver, installed: Driver,
                                                        content: bytes | None) -> None:
    """With attach false, volumes that Kubernetes has attached could not be detached any more (contract fact 17)."""
    good = installed.must("init").reply
    assert good["capabilities"]["attach"] is True and "message" not in good
    break_settings(installed, content)
    before = sorted(os.listdir(installed.directory))
    said = installed.must("init").reply
    assert said["capabilities"] == good["capabilities"]
    assert ".plexvol.json" in said["message"] and ".plexvol.json.good" in said["message"]
    assert sorted(os.listdir(installed.directory)) == before, "else a kubelet probes it anew (contract fact 14)"

    assert install(driver).status == 0, "as the message says"
    assert installed.must("init").reply == good
    assert json.loads((installed.directory / ".plexvol.json").read_text()) == {"attach": True}


@pytest.mark.finding("K8")
def test_broken_settings_without_good_ones_are_said_as_well(driver: Driver) -> None:
    driver.write_settings('{"attach": tr')
    said = driver.must("init").reply
    assert "plexvol driver install" in said["message"]
    (driver.directory / ".plexvol.json").unlink()
    assert "message" not in driver.must("init").reply, "put there by hand, without settings"
