#include <doctest/doctest.h>

#include "agent/reconcile/observe.h"
#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;                    // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;         // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile::cases;  // NOLINT(google-build-using-namespace)

TEST_CASE("plan: a new copy is made, wiped, and only then recorded as made") {
  Wanted wanted = single();
  wanted.volume.replicas[0].made = false;
  CHECK(kinds(wanted, Seen{}) == "CreateData, WipeData, Finish, RecordMade, LookAgain");
  Seen seen = seen_single();
  seen.data->making = true;
  CHECK(kinds(wanted, seen) == "WipeData, Finish, RecordMade, LookAgain");
  seen.data->making = false;
  CHECK(kinds(wanted, seen) == "RecordMade, LookAgain");
}

TEST_CASE("plan: a new mirrored copy gets metadata, and its data is finished last") {
  Wanted wanted = mirrored();
  wanted.volume.replicas[0].made = false;
  CHECK(kinds(wanted, Seen{}) ==
        "CreateData, CreateMetadataDevice, WipeData, CreateMetadata, Finish, RecordMade, "
        "LookAgain");
  Seen seen;
  seen.data = backing("/dev/vg/v");
  seen.data->making = true;
  CHECK(kinds(wanted, seen) ==
        "CreateMetadataDevice, WipeData, CreateMetadata, Finish, RecordMade, LookAgain");
  seen.metadata = backing("/dev/vg/v.meta");
  seen.metadata->making = true;
  CHECK(kinds(wanted, seen) == "WipeData, CreateMetadata, Finish, RecordMade, LookAgain");
  SUBCASE("after a crash between the two, metadata is not made again") {
    seen.metadata->making = false;
    CHECK(kinds(wanted, seen) == "WipeData, Finish, RecordMade, LookAgain");
  }
}

TEST_CASE("plan: a logical volume of that name that is not ours is never touched") {
  Wanted wanted = single();
  Seen seen = seen_single();
  seen.data->ours = false;
  for (const bool made : {false, true}) {
    wanted.volume.replicas[0].made = made;
    CHECK(kinds(wanted, seen) == "Fail Conflict");
    CHECK(reason(wanted, seen).find("volume v: /dev/vg/v on n1 was not made for this volume") == 0);
  }
  wanted.volume.deleting = true;
  CHECK(kinds(wanted, seen) == "ForgetReplica");
}

TEST_CASE("plan: a copy that was made once and is gone is reported, never made anew") {
  CHECK(kinds(single(), Seen{}) == "Fail Conflict");
  CHECK(kinds(attached(single()), Seen{}) == "Fail Conflict");
  Seen seen = seen_mirrored();
  seen.metadata.reset();
  CHECK(kinds(mirrored(), seen) == "Fail Conflict");  // what DRBD has open is there all the same
  seen.resource->disk_state = "Diskless";
  CHECK(kinds(mirrored(), seen) == "LeaveSet: n2, Fail Conflict");
  CHECK(reason(mirrored(), seen).find("DRBD metadata") != std::string::npos);
}

TEST_CASE("plan: DRBD is brought to its configuration") {
  Seen seen = seen_mirrored();
  CHECK(kinds(mirrored(), seen).empty());
  SUBCASE("not configured") {
    seen.resource.reset();
    seen.config_current = false;
    CHECK(kinds(mirrored(), seen) == "WriteConfig, Adjust, LookAgain");
  }
  SUBCASE("inactive after a reboot") {
    seen.resource.reset();
    seen.data->active = false;
    CHECK(kinds(mirrored(), seen) == "ActivateData, Adjust, LookAgain");
  }
  SUBCASE("standing alone") {
    seen.resource->connection = "StandAlone";
    CHECK(kinds(mirrored(), seen) == "Adjust, LookAgain");
  }
  SUBCASE("waiting for its peer is no reason to do anything") {
    CHECK(kinds(mirrored(), seen_mirrored("Secondary", "Connecting")).empty());
  }
}

TEST_CASE("plan: a connected copy of the set is promoted without asking") {
  CHECK(kinds(attached(mirrored()), seen_mirrored()) == "Promote, LookAgain");
}

TEST_CASE("plan: a node that is not named by the attachment does not become primary") {
  CHECK(kinds(mirrored(), seen_mirrored()).empty());
  CHECK(kinds(attached(mirrored(), "n2", model::Holder::Mount), seen_mirrored()).empty());
}

TEST_CASE("plan: a peer that is still primary keeps this node secondary") {
  Seen seen = seen_mirrored();
  seen.resource->peer_role = "Primary";
  CHECK(kinds(attached(mirrored()), seen) == "Fail Unavailable");
}

TEST_CASE("plan: without its peer a node asks the arbiter before every promotion") {
  Wanted wanted = attached(mirrored());
  const Seen seen = seen_mirrored("Secondary", "Connecting");
  CHECK(kinds(wanted, seen) == "AskArbiter: n2, Promote, LookAgain");
  SUBCASE("but first gives a living peer the time to connect") {
    wanted.peer_alive = true;
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
    Seen later = seen;
    later.connect_time_over = true;
    CHECK(kinds(wanted, later) == "AskArbiter: n2, Promote, LookAgain");
  }
}

TEST_CASE("plan: a copy that is not in the set is never made primary") {
  Wanted wanted = attached(mirrored());
  wanted.current->nodes = {"n2"};
  CHECK(kinds(wanted, seen_mirrored("Secondary", "Connecting")) == "Fail Conflict");
  Seen syncing = seen_mirrored();
  syncing.resource->disk_state = "Inconsistent";
  CHECK(kinds(wanted, syncing) == "Fail Unavailable");
  wanted.current.reset();
  CHECK(kinds(wanted, seen_mirrored("Secondary", "Connecting")) == "Fail Conflict");
}

TEST_CASE("plan: a node of the set puts the other back once both are connected and good") {
  Wanted wanted = mirrored();
  wanted.current->nodes = {"n1"};
  CHECK(kinds(wanted, seen_mirrored()) == "PutBack: n2, LookAgain");
  Seen syncing = seen_mirrored();
  syncing.resource->peer_disk_state = "Inconsistent";
  CHECK(kinds(wanted, syncing).empty());
  wanted.current->nodes = {"n2"};
  CHECK(kinds(wanted, seen_mirrored()).empty());
}

TEST_CASE("plan: only what is surely empty is formatted, and only once") {
  Wanted wanted = attached(single());
  wanted.volume.format = model::Format::Never;
  Seen seen = seen_single();
  seen.content = kEmpty;
  CHECK(kinds(wanted, seen) == "RecordFormatStarted, MakeFilesystem, RecordFormatDone, LookAgain");
  for (const auto& other : {content(filesystem::Content::Unknown),
                            content(filesystem::Content::Known, "xfs", "other"), kOwnExt4}) {
    seen.content = other;
    CHECK(kinds(wanted, seen) == "Fail Conflict");
  }
}

TEST_CASE("plan: an interrupted mkfs of our own is done again, a stranger's file system is not") {
  Wanted wanted = attached(single());
  wanted.volume.format = model::Format::Started;
  Seen seen = seen_single();
  for (const auto& ours : {kEmpty, kOwnExt4, content(filesystem::Content::Unknown)}) {
    seen.content = ours;
    CHECK(kinds(wanted, seen) == "MakeFilesystem, RecordFormatDone, LookAgain");
  }
  seen.content = content(filesystem::Content::Known, "ext4", "another");
  CHECK(kinds(wanted, seen) == "Fail Conflict");
}

TEST_CASE("plan: a formatted volume that reads as empty is neither mounted nor formatted") {
  const Wanted wanted = attached(single());
  Seen seen = seen_single();
  seen.linked = true;
  seen.calls.waiting = 1;
  seen.content = kEmpty;
  CHECK(kinds(wanted, seen) == "Fail Conflict");
}

TEST_CASE("plan: a mount call gets a checked device") {
  const Wanted wanted = attached(single(), "n1", model::Holder::Mount);
  Seen seen = seen_single();
  seen.calls.waiting = 1;
  seen.content = kOwnExt4;
  CHECK(kinds(wanted, seen) == "Link: /dev/vg/v, CheckFilesystem, CompleteMountCalls, LookAgain");
  seen.just_formatted = true;
  CHECK(kinds(wanted, seen) == "Link: /dev/vg/v, CompleteMountCalls, LookAgain");
  seen.just_formatted = false;
  SUBCASE("that is mounted already, or about to be, is not checked again") {
    seen.content.reset();
    seen.linked = true;
    seen.mounts = {"/a"};
    CHECK(kinds(wanted, seen) == "CompleteMountCalls, LookAgain");
  }
}

TEST_CASE("plan: a file system that has shut itself down is given to no further pod [D12]") {
  const Wanted wanted = attached(single(), "n1", model::Holder::Mount);
  Seen seen = seen_single();
  seen.calls.waiting = 1;
  seen.linked = true;
  seen.mounts = {"/a", "/b"};
  seen.mounted_fault = "has shut itself down after an error (Input/output error)";
  CHECK(kinds(wanted, seen) == "Fail Conflict");
  CHECK(reason(wanted, seen) ==
        "volume v: its file system on n1 has shut itself down after an error (Input/output error) "
        "and must be unmounted everywhere before it can be mounted again, which repairs it; delete "
        "the pods that use it: /a, /b");
}

TEST_CASE("plan: another file system of the same type is a stranger's [D9]") {
  const Wanted wanted = attached(single(), "n1", model::Holder::Mount);
  Seen seen = seen_single();
  seen.calls.waiting = 1;
  seen.linked = true;
  seen.content = content(filesystem::Content::Known, "ext4", "another");
  CHECK(kinds(wanted, seen) == "Fail Conflict");
  CHECK(reason(wanted, seen)
            .find("holds ext4 with the UUID another instead of " + std::string(kId)) !=
        std::string::npos);
}

TEST_CASE("plan: what could not be looked at is not called removed") {
  Wanted wanted = single();
  wanted.volume.deleting = true;
  Seen seen;
  seen.backing_error = Error(ErrorCode::Unavailable, "lvs hangs");
  CHECK(kinds(wanted, seen) == "Fail Unavailable");
}

TEST_CASE("plan: a volume whose device could not be looked at may be mounted, and is kept [D5]") {
  Wanted wanted = attached(single(), "n1", model::Holder::Mount);
  Seen seen;
  seen.backing_error = Error(ErrorCode::Unavailable, "lvs hangs");
  SUBCASE("nothing is asked of it") {}
  SUBCASE("it is asked for") {
    wanted.attachment->release = model::Release{"r", "detach of pv"};
  }
  CHECK(kinds(wanted, seen) == "Fail Unavailable");
}

TEST_CASE("plan: both copies are as large as what the extents of both groups divide [D13]") {
  Wanted wanted = mirrored();
  wanted.volume.size_bytes = 20U << 20U;
  const auto extents = [&](const std::string& node, std::uint64_t bytes) {
    model::Pool pool;
    pool.name = "p";
    pool.extent_bytes = bytes;
    wanted.nodes[node].pools = {pool};
  };
  extents("n1", 4U << 20U);
  CHECK_THROWS_AS(copy_size_bytes(wanted), Error);
  extents("n2", 32U << 20U);
  CHECK(copy_size_bytes(wanted) == 32U << 20U);
  wanted.here = "n2";
  CHECK(copy_size_bytes(wanted) == 32U << 20U);
  // An agent of 0.1.0 does not tell.
  extents("n2", 0);
  CHECK(copy_size_bytes(wanted) == 20U << 20U);
  // 0.1.0 made the other copy, and it is larger.
  wanted.peer_device_bytes = 64U << 20U;
  CHECK(copy_size_bytes(wanted) == 64U << 20U);
  extents("n2", 6U << 20U);
  wanted.peer_device_bytes = 0;
  CHECK(copy_size_bytes(wanted) == 24U << 20U);
  // One copy has no other to be like.
  Wanted alone = single();
  alone.volume.size_bytes = 5U << 20U;
  CHECK(copy_size_bytes(alone) == 5U << 20U);
}

TEST_CASE("plan: the last unmount sets a volume free that was attached by a mount") {
  const Wanted wanted = attached(mirrored(), "n1", model::Holder::Mount);
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  CHECK(kinds(wanted, seen) == "Unlink, Demote, DropAttachment, LookAgain");
  SUBCASE("but not one that was attached by attach") {
    CHECK(kinds(attached(mirrored()), seen).empty());
  }
  SUBCASE("nor while a mount call is under way") {
    seen.calls.mounting = 1;
    CHECK(kinds(wanted, seen).empty());
  }
  SUBCASE("nor while a process in another mount namespace still has it") {
    seen.users = {kPostgres};
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
  }
}

TEST_CASE("plan: a release is refused while a process uses the volume, and says which") {
  Wanted wanted = attached(mirrored());
  wanted.attachment->release = model::Release{"r1", "detach"};
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  seen.mounts = {"/a", "/b"};
  SUBCASE("used") {
    seen.users = {kPostgres};
    CHECK(kinds(wanted, seen) == "RefuseRelease");
    CHECK(reason(wanted, seen) == "volume v is in use on n1: process 12 (postgres) has /data open");
    seen.refused_release = "r1";
    CHECK(kinds(wanted, seen).empty());
    // Final, for who asked was told so: what is mounted now may have been mounted since.
    seen.users.clear();
    CHECK(kinds(wanted, seen).empty());
    wanted.attachment->release->id = "r2";
    CHECK(kinds(wanted, seen) ==
          "Unmount: /b, Unmount: /a, Unlink, Demote, DropAttachment, LookAgain");
  }
  SUBCASE("a mount call under way") {
    seen.calls.mounting = 1;
    CHECK(kinds(wanted, seen) == "RefuseRelease");
  }
  SUBCASE("left-over mounts that nobody uses are cleaned, newest first") {
    CHECK(kinds(wanted, seen) ==
          "Unmount: /b, Unmount: /a, Unlink, Demote, DropAttachment, LookAgain");
  }
}

TEST_CASE("plan: a volume that is attached elsewhere is given up here unless it is used") {
  const Wanted wanted = attached(mirrored(), "n2", model::Holder::Mount);
  Seen seen = seen_mirrored("Primary");
  seen.mounts = {"/a"};
  CHECK(kinds(wanted, seen) == "Unmount: /a, Demote");
  seen.users = {kPostgres};
  CHECK(kinds(wanted, seen) == "Fail Conflict");
}

TEST_CASE("plan: deletion removes from the top down, only what is ours, and the record last") {
  Wanted wanted = mirrored();
  wanted.volume.deleting = true;
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  CHECK(kinds(wanted, seen) == "Unlink, Down, RemoveBacking, RemoveConfig, ForgetReplica");
  seen.metadata->ours = false;
  CHECK(kinds(wanted, seen) == "Unlink, Down, RemoveBacking, RemoveConfig, ForgetReplica");
  seen.users = {kPostgres};
  CHECK(kinds(wanted, seen) == "Fail Conflict");
  CHECK(kinds(wanted, Seen{}) == "RemoveConfig, ForgetReplica");
}

TEST_CASE("plan: a node that has no copy does nothing") {
  Wanted wanted = single();
  wanted.here = "n9";
  CHECK(plan(wanted, seen_single()).empty());
}

TEST_CASE("plan: a volume whose copy is broken can still be let go of") {
  Wanted wanted = attached(single());
  wanted.attachment->release = model::Release{"r1", "detach"};
  CHECK(kinds(wanted, Seen{}) == "DropAttachment, LookAgain");
  wanted.volume.replicas[0].made = false;
  CHECK(kinds(wanted, Seen{}) == "DropAttachment, LookAgain");
}
