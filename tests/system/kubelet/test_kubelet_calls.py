"""What genuine kubelets and controller-managers called, against a real agent: every answer can be read as they read it,
they get what they are owed, and nothing is left at the end."""

import pytest
from plexvol_host import Host
from recording import RECORDINGS, Recording, load_all
from replay import Replay

ALL = load_all()


def test_all_recordings_are_there() -> None:
    """What is replayed is found by looking: a folder that was not found would pass."""
    assert len(ALL) >= 49, f"{len(ALL)} recordings in {RECORDINGS}"


# Pods of which a mount is left when their volume is detached are gone.
@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("recording", ALL, ids=lambda recording: recording.name)
def test_each_call_is_answered_as_its_caller_reads_it(host: Host, recording: Recording) -> None:
    replay = Replay(host, recording)
    replay.play()
    replay.end()


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("recording", [r for r in ALL if r.overlaps], ids=lambda recording: recording.name)
def test_calls_that_overlapped_overlap_again(host: Host, recording: Recording) -> None:
    replay = Replay(host, recording)
    replay.play_overlapping()
    replay.end()
