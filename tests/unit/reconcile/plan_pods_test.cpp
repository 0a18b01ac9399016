// A volume that is mounted for a pod that is not proved dead is in use, also without a process.
#include <doctest/doctest.h>

#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol;                    // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;         // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile::cases;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kMount = "/var/lib/kubelet/pods/u-1/volumes/plexvol~plexvol/pv";

PodUse crash_looping() {
  return {.uid = "u-1",
          .mount = kMount,
          .verdict = {.life = pods::Life::Alive,
                      .name = "prod/db-0",
                      .why = "whose containers are not running now but which still exists",
                      .advice = "delete the pod"}};
}

PodUse unknown() {
  return {.uid = "u-1",
          .mount = kMount,
          .verdict = {.life = pods::Life::Unknown,
                      .name = "",
                      .why = "which may still exist: the container runtime does not answer: "
                             "/run/x.sock: Connection refused",
                      .advice = "start the container runtime"}};
}

Seen mounted_for(const PodUse& pod) {
  Seen seen = seen_mirrored("Primary");
  seen.linked = true;
  seen.mounts = {kMount};
  seen.pod = pod;
  return seen;
}

}  // namespace

TEST_CASE("plan: a pod without a process keeps its volume when another node wants it [D1]") {
  Wanted wanted = attached(mirrored(), "n1", model::Holder::Mount);
  wanted.attachment->release = model::Release{"r1", "volume v is wanted on n2"};
  CHECK(kinds(wanted, mounted_for(crash_looping())) == "RefuseRelease");
  CHECK(reason(wanted, mounted_for(crash_looping())) ==
        "volume v is in use on n1: mounted for pod prod/db-0 (uid u-1), whose containers are not "
        "running now but which still exists; delete the pod");
  CHECK(kinds(wanted, mounted_for(unknown())) == "RefuseRelease");
  CHECK(reason(wanted, mounted_for(unknown())) ==
        std::string("volume v is in use on n1: mounted for pod uid u-1, which may still exist: "
                    "the container runtime does not answer: /run/x.sock: Connection refused; start "
                    "the container runtime; if the pod is gone, run `plexvol unmount ") +
            kMount + "` on n1");
  SUBCASE("until it is proved dead") {
    Seen seen = mounted_for(crash_looping());
    seen.pod.reset();
    CHECK(kinds(wanted, seen) ==
          std::string("Unmount: ") + kMount + ", Unlink, Demote, DropAttachment, LookAgain");
  }
  SUBCASE("a process that uses it is named first") {
    Seen seen = mounted_for(crash_looping());
    seen.users = {kPostgres};
    CHECK(reason(wanted, seen) == "volume v is in use on n1: process 12 (postgres) has /data open");
  }
}

TEST_CASE("plan: nothing that lets go of a volume takes it from a pod without a process [D1]") {
  const Seen seen = mounted_for(crash_looping());
  SUBCASE("a detach") {
    Wanted wanted = attached(mirrored());
    wanted.attachment->release = model::Release{"r1", "detach"};
    CHECK(kinds(wanted, seen) == "RefuseRelease");
  }
  SUBCASE("an attachment that is elsewhere, or gone") {
    CHECK(kinds(attached(mirrored(), "n2", model::Holder::Mount), seen) == "Fail Conflict");
    CHECK(kinds(mirrored(), seen) == "Fail Conflict");
    CHECK(reason(mirrored(), seen).find("pod prod/db-0 (uid u-1)") != std::string::npos);
  }
  SUBCASE("a copy that was replaced") {
    Wanted wanted = attached(mirrored());
    wanted.volume.replicas = {{"n2", true}, {"n3", true}};
    wanted.volume.former = {"n1"};
    wanted.current->nodes = {"n1", "n2"};
    CHECK(kinds(wanted, seen) == "Fail Conflict");
  }
  SUBCASE("a deletion") {
    Wanted wanted = mirrored();
    wanted.volume.deleting = true;
    CHECK(kinds(wanted, seen) == "Fail Conflict");
    CHECK(reason(wanted, seen).find("deletion waits: volume v is in use on n1: mounted for pod") ==
          0);
  }
}

TEST_CASE(
    "plan: a loser's pods are killed again after its disk is given up, whoever lives [D1] [D4]") {
  Wanted lost = attached(mirrored(), "n1", model::Holder::Mount);
  lost.current->nodes = {"n2"};
  Seen seen = mounted_for(crash_looping());
  seen.resource->connection = "Connecting";
  seen.resource->suspended = "fencing";
  CHECK(kinds(lost, seen) == std::string("Disconnect, LeaveSet: n2, KillUsers, GiveUpDisk, "
                                         "KillUsers, ResumeIo, Unmount: ") +
                                 kMount + ", Unlink, Demote, Down, LookAgain");
  SUBCASE("also of a volume that is being deleted") {
    lost.volume.deleting = true;
    CHECK(kinds(lost, seen) == "Disconnect, KillUsers, GiveUpDisk, KillUsers, ResumeIo, LookAgain");
  }
}
