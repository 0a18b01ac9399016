"""The agent is killed again and again, at moments that nobody chose."""

import os
import random
import time
from pathlib import Path

from plexvol_host import Host

KILLS = 50 if os.environ.get("PLEXVOL_LONG") else 15
SIZE = "32Mi"


def test_the_same_call_succeeds_after_each_kill(host: Host, chance: random.Random) -> None:
    """Whatever the agent was doing, the next one carries on, nothing is lost, and in the end nothing is left."""
    kills = 0
    lives = 0
    while kills < KILLS:
        lives += 1
        name = f"pv-{lives}"
        asked, pod = host.options(name, size=SIZE), host.pod_dir(name)
        written = ""
        for turn in range(3):
            kills += disturbed(host, chance, "mount", pod, asked)
            host.mounting.must("mount", pod, asked)
            assert host.mounts() == [str(pod)], f"{name}, turn {turn}"
            file = host.see(pod / "file")
            if written:
                assert file.read_text() == written, f"{name}, turn {turn}"
            written = f"{name} {turn}"
            file.write_text(written)
            kills += disturbed(host, chance, "unmount", pod)
            host.mounting.must("unmount", pod)
            assert host.mounts() == []
        host.wait_detached(name)
        kills += disturbed_delete(host, chance, name)
        assert name not in host.volumes()
    print(f"{kills} kills in {lives} lives")


def kill_at_some_moment(host: Host, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.06))  # the moment itself is what is tried
    host.restart()


def disturbed(host: Host, chance: random.Random, *arguments: str | Path) -> int:
    call = host.mounting.start(*arguments)
    kill_at_some_moment(host, chance)
    call.wait()  # it may fail, but not otherwise than a call may
    return 1


def disturbed_delete(host: Host, chance: random.Random, name: str) -> int:
    call = host.start_command("volume", "delete", name)
    kill_at_some_moment(host, chance)
    call.communicate(timeout=60)
    done = host.plexvol("volume", "delete", name)
    assert done.returncode == 0 or f"no volume named {name}" in done.stderr, done.stderr
    return 1
