"""What genuine kubelets and controller-managers called, against a real agent: every answer can be read as they read it,
they get what they are owed, and nothing is left at the end."""

import pytest
from plexvol_host import Host
from recording import RECORDINGS, Recording, load_all
from replay import Replay

ALL = load_all()
# In these a volume is detached while a mount of a pod is left.
LEAVE_MOUNTS = {"b5_kubelet_attach_two_pods", "f2_pod_deleted_while_kubelet_down", "g1_failures_up", "i1_two_pods_one_pv",
                "s1_kcm_killed_during_attach"}


def test_all_recordings_are_there() -> None:
    """What is replayed is found by looking: a folder that was not found would pass."""
    assert len(ALL) >= 49, f"{len(ALL)} recordings in {RECORDINGS}"


@pytest.mark.parametrize("recording", ALL, ids=lambda recording: recording.name)
def test_each_call_is_answered_as_its_caller_reads_it(
    host: Host, recording: Recording, request: pytest.FixtureRequest
) -> None:
    if recording.name in LEAVE_MOUNTS:
        request.getfixturevalue("runtime")  # knows no pod: they are gone
    replay = Replay(host, recording)
    replay.play()
    replay.end()


@pytest.mark.parametrize("recording", [r for r in ALL if r.overlaps], ids=lambda recording: recording.name)
def test_calls_that_overlapped_overlap_again(host: Host, recording: Recording) -> None:
    replay = Replay(host, recording)
    replay.play_overlapping()
    replay.end()
