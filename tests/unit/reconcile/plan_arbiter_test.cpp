// The planner's part of the arbiter's protocol (tests/model/arbiter.pml has the same steps).
#include <doctest/doctest.h>

#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;                    // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;         // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile::cases;  // NOLINT(google-build-using-namespace)

namespace {

// n1 is primary and frozen, and mounted.
Seen frozen_primary() {
  Seen seen = seen_mirrored("Primary", "Connecting");
  seen.resource->suspended = "fencing";
  seen.linked = true;
  seen.mounts = {"/a", "/b"};
  return seen;
}

Wanted with_current(Wanted wanted, std::set<std::string> nodes) {
  wanted.current = model::Current{5, std::move(nodes), {}, {}};
  return wanted;
}

constexpr const char* kWayOut =
    "Disconnect, LeaveSet: n2, KillUsers, GiveUpDisk, KillUsers, ResumeIo, Unmount: /b, Unmount: "
    "/a, Unlink, "
    "Demote, Down, LookAgain";

constexpr const char* kThaw =
    "AskArbiter: n2, Disconnect, AskArbiter: n2, ResumeIo, Adjust, LookAgain";

}  // namespace

TEST_CASE("plan: a frozen primary that is not in the set kills its users before all else") {
  Seen seen = frozen_primary();
  const Wanted lost = with_current(attached(mirrored()), {"n2"});
  CHECK(kinds(lost, seen) == kWayOut);
  SUBCASE("whether it is still wanted here or not") {
    CHECK(kinds(with_current(attached(mirrored(), "n2", model::Holder::Mount), {"n2"}), seen) ==
          kWayOut);
    CHECK(kinds(with_current(mirrored(), {"n2"}), seen) == kWayOut);
  }
  SUBCASE("whoever uses it or is about to mount it") {
    seen.users = {kPostgres};
    seen.calls.mounting = 1;
    CHECK(kinds(lost, seen) == kWayOut);
  }
  SUBCASE("also when somebody has thawed it, or the kernel never froze it") {
    seen.resource->suspended = "no";
    CHECK(kinds(lost, seen) == kWayOut);
  }
  SUBCASE("and goes on where it was interrupted") {
    seen.resource->suspended = "no";
    seen.resource->disk_state = "Diskless";
    seen.mounts.clear();
    seen.linked = false;
    CHECK(kinds(lost, seen) ==
          "Disconnect, LeaveSet: n2, KillUsers, GiveUpDisk, KillUsers, ResumeIo, Demote, Down, "
          "LookAgain");
  }
  SUBCASE("but not while it works on its peer's good copy") {
    seen = seen_mirrored("Primary");
    seen.resource->disk_state = "Inconsistent";
    seen.resource->replication = "SyncTarget";
    seen.linked = true;
    CHECK(kinds(lost, seen).empty());
  }
}

TEST_CASE(
    "plan: a frozen primary that is in the set is thawed by its agent when the kernel's question "
    "went unanswered") {
  const Wanted wanted = attached(mirrored());
  Seen seen = frozen_primary();
  CHECK(kinds(wanted, seen) == "Fail Unavailable");
  seen.question_time_over = true;
  CHECK(kinds(wanted, seen) == kThaw);
  SUBCASE("not while the question is being answered") {
    seen.question_under_way = true;
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
  }
  SUBCASE("not while DRBD itself agrees with the peer") {
    seen.resource->connection = "Connected";
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
  }
  SUBCASE("not when a person holds it back") {
    seen.resource->suspended = "user";
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
    CHECK(reason(wanted, seen).find("drbdsetup resume-io 1000") != std::string::npos);
  }
}

TEST_CASE("plan: nothing looks into a frozen device") {
  const Wanted wanted = attached(mirrored());
  Seen seen = frozen_primary();
  seen.mounts.clear();
  seen.calls.waiting = 1;
  CHECK_FALSE(needs_content(wanted, seen));
  seen.resource->suspended = "no";
  CHECK(needs_content(wanted, seen));
}

TEST_CASE("plan: a failed disk is taken out of the set before anything else is done with it") {
  Seen seen = seen_mirrored();
  seen.resource->disk_state = "Diskless";
  CHECK(kinds(mirrored(), seen) == "LeaveSet: n2, Adjust, LookAgain");
  SUBCASE("unless it has only just been made, and can have missed nothing") {
    seen.resource->untouched = true;
    CHECK(kinds(mirrored(), seen) == "LeaveSet: n2, Adjust, LookAgain");
    seen.resource->connection = "StandAlone";
    CHECK(kinds(mirrored(), seen) == "Adjust, LookAgain");
  }
  SUBCASE("or it is the last one") {
    CHECK(kinds(with_current(mirrored(), {"n1"}), seen) == "Fail Conflict");
  }
  SUBCASE("also when it is out already, for the peer may be about to put it back") {
    CHECK(kinds(with_current(mirrored(), {"n2"}), seen) == "LeaveSet: n2, Adjust, LookAgain");
  }
}

TEST_CASE("plan: the peer's failed disk is taken out, too, by whoever sees it first") {
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  for (const char* state : {"Diskless", "Failed", "Inconsistent", "Outdated"}) {
    seen.resource->peer_disk_state = state;
    CHECK(kinds(attached(mirrored()), seen) == "TakeOut: n2, LookAgain");
    CHECK(kinds(with_current(attached(mirrored()), {"n1"}), seen).empty());
  }
  seen.resource->disk_state = "Inconsistent";
  CHECK(kinds(attached(mirrored()), seen).empty());
}

TEST_CASE(
    "plan: of two that disagree about the past, the copy that is not in the set is thrown away") {
  Seen seen = seen_mirrored("Secondary", "StandAlone");
  const Wanted loser = with_current(mirrored(), {"n2"});
  CHECK(kinds(loser, seen) == "ReconnectDiscarding, LookAgain");
  SUBCASE("never the one in it") {
    CHECK(kinds(with_current(mirrored(), {"n1"}), seen) == "Adjust, LookAgain");
    CHECK(kinds(mirrored(), seen) == "Adjust, LookAgain");
  }
  SUBCASE("and not before it has its disk and its configuration") {
    seen.config_current = false;
    CHECK(kinds(loser, seen) == "WriteConfig, Adjust, LookAgain");
    seen.config_current = true;
    seen.resource->disk_state = "Diskless";
    CHECK(kinds(loser, seen) == "LeaveSet: n2, Adjust, LookAgain");
  }
}

TEST_CASE("plan: a copy that a person has chosen is promoted though DRBD would not") {
  Wanted wanted = with_current(attached(mirrored()), {"n1"});
  Seen seen = seen_mirrored("Secondary", "Connecting");
  seen.resource->disk_state = "Outdated";
  CHECK(kinds(wanted, seen) == "Fail Unavailable");
  wanted.current->forced = model::Current::Forced{"n1", 0, "root on n3", ""};
  CHECK(kinds(wanted, seen) == "AskArbiter: n2, PromoteByForce, LookAgain");
  SUBCASE("not on another node's behalf") {
    wanted.current->forced->node = "n2";
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
  }
  SUBCASE("half overwritten only when it was so already") {
    seen.resource->disk_state = "Inconsistent";
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
    wanted.current->forced->disk_state = "Inconsistent";
    CHECK(kinds(wanted, seen) == "AskArbiter: n2, PromoteByForce, LookAgain");
  }
  SUBCASE("not where it is good anyway, or its peer has the data") {
    seen.resource->disk_state = "UpToDate";
    CHECK(kinds(wanted, seen) == "AskArbiter: n2, Promote, LookAgain");
    seen = seen_mirrored("Secondary", "Connected");
    seen.resource->disk_state = "Outdated";
    CHECK(kinds(wanted, seen) == "Fail Unavailable");
  }
}

TEST_CASE("plan: a node that cannot be promoted does not take its peer out") {
  Seen seen = seen_mirrored("Secondary", "Connecting");
  for (const char* disk : {"Inconsistent", "Outdated", "Attaching", "Negotiating"}) {
    seen.resource->disk_state = disk;
    CHECK(kinds(attached(mirrored()), seen) == "Fail Unavailable");
  }
  seen.resource->disk_state = "Consistent";
  CHECK(kinds(attached(mirrored()), seen) == "AskArbiter: n2, Promote, LookAgain");
}

TEST_CASE("plan: a primary that is frozen without a disk leaves the set instead of asking") {
  Seen seen = frozen_primary();
  seen.question_time_over = true;
  seen.resource->disk_state = "Diskless";
  CHECK(kinds(attached(mirrored()), seen) == "LeaveSet: n2, LookAgain");
  CHECK(kinds(with_current(attached(mirrored()), {"n1"}), seen) == "Fail Conflict");
}

TEST_CASE("plan: a primary without a disk is not given it back while it is primary") {
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  seen.resource->disk_state = "Diskless";
  const Wanted out = with_current(attached(mirrored()), {"n2"});
  CHECK(kinds(attached(mirrored()), seen) == "LeaveSet: n2, LookAgain");
  CHECK(kinds(out, seen).empty());
  seen.config_current = false;
  CHECK(kinds(out, seen).empty());
}

TEST_CASE("plan: what lvm2 cannot tell keeps nobody from parting or thawing") {
  Seen seen = frozen_primary();
  seen.data.reset();
  seen.metadata.reset();
  seen.backing_error = Error(ErrorCode::NotFound, "no volume group vg");
  CHECK(kinds(with_current(attached(mirrored()), {"n2"}), seen) == kWayOut);
  seen.question_time_over = true;
  CHECK(kinds(attached(mirrored()), seen) == kThaw);
  seen = seen_mirrored("Primary");
  seen.data.reset();
  seen.backing_error = Error(ErrorCode::NotFound, "no volume group vg");
  CHECK(kinds(attached(mirrored()), seen) == "Fail NotFound");
  seen.resource->disk_state = "Diskless";
  CHECK(kinds(attached(mirrored()), seen) == "LeaveSet: n2, Fail NotFound");
}

TEST_CASE("plan: a deleted volume that is frozen here is thawed before it is taken apart") {
  Wanted wanted = mirrored();
  wanted.volume.deleting = true;
  Seen seen = frozen_primary();
  seen.users = {kPostgres};
  CHECK(kinds(wanted, seen) == "Disconnect, KillUsers, GiveUpDisk, KillUsers, ResumeIo, LookAgain");
}

TEST_CASE("plan: a change of resync options alone parts nobody [O19]") {
  for (const char* role : {"Primary", "Secondary"}) {
    CAPTURE(role);
    Seen seen = seen_mirrored(role);
    seen.linked = true;
    seen.config_current = false;
    seen.only_resync_options_changed = true;
    // After a crash between WriteConfig and Adjust nothing is known of the connection.
    for (const bool connection_current : {true, false}) {
      seen.connection_current = connection_current;
      for (const std::set<std::string>& set : {std::set<std::string>{"n1", "n2"}, {"n1"}, {"n2"}}) {
        CHECK(kinds(with_current(attached(mirrored()), set), seen) ==
              "WriteConfig, Adjust, LookAgain");
      }
    }
  }
}

TEST_CASE("plan: a changed configuration may part the two, so one leaves the set before") {
  Seen seen = seen_mirrored();
  seen.config_current = false;
  CHECK(kinds(mirrored(), seen) == "LeaveSet: n2, Disconnect, WriteConfig, Adjust, LookAgain");
  seen.connection_current = true;  // only options are other ones: nothing is parted for that
  CHECK(kinds(mirrored(), seen) == "LeaveSet: n2, WriteConfig, Adjust, LookAgain");
  seen.connection_current = false;
  seen.resource->role = "Primary";
  CHECK(kinds(attached(mirrored()), seen) == "TakeOut: n2, WriteConfig, Adjust, LookAgain");
  SUBCASE("unless they are parted, or one is out already") {
    CHECK(kinds(with_current(attached(mirrored()), {"n2"}), seen) ==
          "WriteConfig, Adjust, LookAgain");
    seen.connection_current = true;  // both are upgraded: the peer has left to change its own
    CHECK(kinds(with_current(attached(mirrored()), {"n1"}), seen) ==
          "WriteConfig, Adjust, LookAgain");
    CHECK(kinds(mirrored(), seen_mirrored("Secondary", "Connecting")).empty());
  }
}
