// Copies that move from one node to another.
#include <doctest/doctest.h>

#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;                    // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;         // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile::cases;  // NOLINT(google-build-using-namespace)

namespace {

Seen seen_apart(const std::string& role = "Secondary") {
  Seen seen = seen_mirrored(role, "Connecting");
  seen.apart_time_over = true;
  return seen;
}

constexpr PeerFate kAll[] = {PeerFate::Gone, PeerFate::Drained, PeerFate::Lost};

Wanted mirrored_with(PeerFate fate, std::set<std::string> current = {"n1", "n2"}) {
  Wanted wanted = mirrored();
  wanted.peer_fate = fate;
  wanted.current->nodes = std::move(current);
  return wanted;
}

// n1's copy was replaced by one on n3.
Wanted replaced(std::set<std::string> current, bool others_whole = true) {
  Wanted wanted = mirrored();
  wanted.others_whole = others_whole;
  wanted.volume.replicas = {{"n2", true}, {"n3", true, true}};
  wanted.volume.former = {"n1"};
  wanted.current->nodes = std::move(current);
  return wanted;
}

}  // namespace

TEST_CASE(
    "plan: a peer that is gone, drained or lost is replaced by the copy that has everything") {
  const Seen apart = seen_apart();
  for (const PeerFate fate : kAll) {
    CHECK(kinds(mirrored_with(fate), apart) == "ReplacePeer: n2, LookAgain");
    CHECK(kinds(mirrored_with(fate, {"n1"}), apart) == "ReplacePeer: n2, LookAgain");
    CHECK(kinds(mirrored_with(fate, {"n2"}), apart).empty());
  }
  CHECK(kinds(mirrored_with(PeerFate::Stays), apart).empty());
  SUBCASE("but not for a moment's interruption") {
    const Seen blip = seen_mirrored("Secondary", "Connecting");
    CHECK(kinds(mirrored_with(PeerFate::Gone), blip).empty());
    CHECK(kinds(mirrored_with(PeerFate::Lost), blip).empty());
  }
  SUBCASE("also while it is mounted here") {
    Seen seen = seen_apart("Primary");
    seen.linked = true;
    seen.mounts = {"/mnt"};
    CHECK(kinds(attached(mirrored_with(PeerFate::Gone, {"n1"})), seen) ==
          "ReplacePeer: n2, LookAgain");
  }
  SUBCASE("but not with a disk that is no good, or while its I/O is held back") {
    Seen seen = apart;
    seen.resource->disk_state = "Outdated";
    CHECK(kinds(mirrored_with(PeerFate::Gone), seen).empty());
    seen = seen_apart("Primary");
    seen.resource->suspended = "fencing";
    CHECK(kinds(attached(mirrored_with(PeerFate::Gone)), seen) == "Fail Unavailable");
  }
}

TEST_CASE(
    "plan: a peer that is connected is replaced only to drain its node, and not while it serves") {
  const Seen seen = seen_mirrored();
  CHECK(kinds(mirrored_with(PeerFate::Drained), seen) == "ReplacePeer: n2, LookAgain");
  CHECK(kinds(mirrored_with(PeerFate::Gone), seen).empty());
  CHECK(kinds(mirrored_with(PeerFate::Lost), seen).empty());
  SUBCASE("it is primary") {
    Seen serving = seen;
    serving.resource->peer_role = "Primary";
    CHECK(kinds(mirrored_with(PeerFate::Drained), serving).empty());
  }
  SUBCASE("it is about to be") {
    CHECK(kinds(attached(mirrored_with(PeerFate::Drained), "n2", model::Holder::Mount), seen)
              .empty());
  }
}

TEST_CASE("plan: what stands still is put in order before a peer is replaced") {
  Seen seen = seen_mirrored("Secondary", "StandAlone");
  CHECK(kinds(mirrored_with(PeerFate::Gone), seen) == "Adjust, LookAgain");
  seen = seen_apart();
  CHECK(kinds(attached(mirrored_with(PeerFate::Gone)), seen) ==
        "AskArbiter: n2, Promote, LookAgain");
}

TEST_CASE("plan: the kernel is parted from the former peer before it hears of the new one") {
  Wanted wanted = mirrored();
  wanted.volume.replicas = {{"n1", true}, {"n3", true, true}};
  wanted.current->nodes = {"n1"};
  Seen seen = seen_mirrored();
  seen.config_current = false;
  CHECK(kinds(wanted, seen) == "Disconnect, WriteConfig, Adjust, LookAgain");
  SUBCASE("also when it is not connected now: it may be by then") {
    seen = seen_mirrored("Secondary", "Connecting");
    seen.config_current = false;
    CHECK(kinds(wanted, seen) == "Disconnect, WriteConfig, Adjust, LookAgain");
  }
}

TEST_CASE(
    "plan: a copy that was replaced goes out of use at once, and away when the others are whole") {
  Seen seen = seen_mirrored("Secondary", "Connecting");
  CHECK(kinds(replaced({"n2"}), seen) == "Down");
  seen.resource.reset();
  seen.device.reset();
  CHECK(kinds(replaced({"n2"}), seen).empty());
  CHECK(kinds(replaced({"n2", "n3"}), seen) == "RemoveBacking, RemoveConfig, ForgetReplica");
  SUBCASE("the set's word alone is not enough") {
    CHECK(kinds(replaced({"n2", "n3"}, false), seen).empty());
  }
  SUBCASE("it lets go of the volume") {
    CHECK(kinds(attached(replaced({"n2"})), seen) == "DropAttachment, LookAgain");
  }
  SUBCASE("nothing of a stranger is removed") {
    seen.data->ours = false;
    seen.metadata->ours = false;
    CHECK(kinds(replaced({"n2", "n3"}), seen) == "RemoveConfig, ForgetReplica");
  }
  SUBCASE("nothing is removed on a node that cannot look") {
    seen.backing_error = Error(ErrorCode::Unavailable, "vgs failed");
    CHECK(kinds(replaced({"n2", "n3"}), seen) == "Fail Unavailable");
  }
}

TEST_CASE("plan: a replaced copy that was left primary has lost") {
  Seen seen = seen_mirrored("Primary", "Connecting");
  seen.mounts = {"/mnt"};
  seen.users = {kPostgres};
  CHECK(kinds(replaced({"n2"}), seen) ==
        "Disconnect, KillUsers, GiveUpDisk, KillUsers, ResumeIo, Unmount: /mnt, Demote, Down, "
        "LookAgain");
  SUBCASE("while it works on its peer's good copy, nobody is killed") {
    seen = seen_mirrored("Primary");
    seen.users = {kPostgres};
    CHECK(kinds(replaced({"n2"}), seen) == "Fail Conflict");
    seen.users.clear();
    CHECK(kinds(replaced({"n2"}), seen) == "Demote, Down");
  }
}

TEST_CASE("plan: a volume of which a copy was lost for good goes on with one") {
  Wanted wanted = mirrored();
  wanted.volume.replicas = {{"n1", true}};
  wanted.current->nodes = {"n1"};
  wanted.peer_fate = PeerFate::Lost;
  const Seen seen = seen_mirrored("Secondary", "Connecting");
  CHECK(kinds(wanted, seen) == "ReplacePeer, LookAgain");
  CHECK(kinds(attached(wanted), seen) == "AskArbiter, Promote, LookAgain");
}

TEST_CASE("plan: a copy that is to be filled says so, whatever was left there by a former life") {
  Wanted wanted = mirrored();
  wanted.volume.replicas = {{"n1", false, true}, {"n2", true}};
  wanted.current->nodes = {"n2"};
  Seen seen = seen_mirrored();
  seen.resource.reset();
  CHECK(kinds(wanted, seen) == "CreateMetadata, RecordMade, LookAgain");
}

TEST_CASE("plan: a copy whose disk was replaced is made again by the whole one [D14]") {
  Wanted wanted = mirrored_with(PeerFate::BackingGone, {"n1"});
  Seen seen = seen_mirrored();
  seen.resource->peer_disk_state = "Diskless";
  CHECK(kinds(wanted, seen) == "ReplacePeer: n2, LookAgain");
  SUBCASE("not while it serves, or counts, or this one is not whole") {
    seen.resource->peer_role = "Primary";
    CHECK(kinds(wanted, seen).empty());
    seen.resource->peer_role = "Secondary";
    CHECK(kinds(mirrored_with(PeerFate::BackingGone), seen) == "TakeOut: n2, LookAgain");
    seen.resource->disk_state = "Consistent";
    CHECK(kinds(wanted, seen).empty());
  }
}

TEST_CASE("plan: what is left of a copy that is made again goes first [D14]") {
  Wanted wanted = mirrored();
  wanted.current->nodes = {"n2"};
  wanted.volume.replicas = {{"n1", false, true}, {"n2", true}};
  Seen seen = seen_mirrored();
  seen.resource->disk_state = "Diskless";
  seen.data.reset();
  CHECK(kinds(wanted, seen) == "Down, LookAgain");
  seen.resource.reset();
  CHECK(kinds(wanted, seen) == "RemoveBacking, LookAgain");
  seen.metadata.reset();
  CHECK(kinds(wanted, seen) ==
        "CreateData, CreateMetadataDevice, WipeData, CreateMetadata, Finish, RecordMade, "
        "LookAgain");
  SUBCASE("a primary without a disk goes on, and is then made secondary") {
    seen = seen_mirrored("Primary");
    seen.resource->disk_state = "Diskless";
    seen.data.reset();
    CHECK(kinds(attached(wanted), seen) == "Fail Unavailable");
    CHECK(kinds(wanted, seen) == "Demote");
  }
}

TEST_CASE("plan: gone is only what its pool surely does not have [D14]") {
  Seen seen = seen_mirrored("Secondary", "Connecting");
  seen.resource.reset();
  seen.data.reset();
  CHECK_FALSE(backing_is_gone(mirrored(), seen));
  CHECK(reason(mirrored(), seen).find("The data is safe on n2") != std::string::npos);
  seen.absence_is_certain = true;
  CHECK(backing_is_gone(mirrored(), seen));
  CHECK(reason(mirrored(), seen).find("delete") == std::string::npos);
  SUBCASE("an error says nothing") {
    seen.backing_error = Error(ErrorCode::NotFound, "no volume group vg");
    CHECK_FALSE(backing_is_gone(mirrored(), seen));
  }
  SUBCASE("what DRBD has open is there") {
    seen.resource = seen_mirrored().resource;
    CHECK_FALSE(backing_is_gone(mirrored(), seen));
  }
  SUBCASE("while only this copy counts, nobody else's is called safe") {
    Wanted alone = mirrored();
    alone.current->nodes = {"n1"};
    const std::string said = reason(alone, seen);
    CHECK(said.find("bring its disk back") != std::string::npos);
    CHECK(said.find("delete") == std::string::npos);
  }
}

TEST_CASE("plan: a lone copy without a disk is attached by the word of a user, once [D17]") {
  Wanted wanted = mirrored();
  wanted.current->nodes = {"n1"};
  Seen seen = seen_mirrored("Secondary", "Connecting");
  seen.resource->disk_state = "Diskless";
  CHECK(kinds(wanted, seen) == "Fail Conflict");
  CHECK(reason(wanted, seen).find("force-current v --node n1") != std::string::npos);
  wanted.current->forced = model::Current::Forced{"n1", 0, "root on n3", "Diskless"};
  CHECK(kinds(wanted, seen) == "UseForced, Adjust, LookAgain");
  wanted.current->forced->disk_state = "";
  CHECK(kinds(wanted, seen) == "Fail Conflict");
}
