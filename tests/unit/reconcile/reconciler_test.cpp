#include "agent/reconcile/reconciler.h"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include "agent/model/codec.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

namespace {

// DRBD says the same at every look; nothing else is to be run.
class OneAnswer : public process::Runner {
 public:
  process::Output run(const process::Command&) override {
    if (look) look();
    return {.exit_code = 0, .out = answer, .err = {}};
  }
  std::string answer;
  std::function<void()> look;  // at the store, while a pass is under way
};

// A node of a mirrored volume that finds no pool of its own: a pass ends early, and reports.
struct Node : ReconcilerNode<OneAnswer> {
  Node() {
    std::ofstream(directory.path() / "version") << "8.4.11\n";
    Wanted wanted = cases::mirrored();
    wanted.volume.secret = "secret";
    store.commit(Change()
                     .put(keys::volume("v"), model::to_json(wanted.volume))
                     .put(keys::current("v"), model::to_json(*wanted.current))
                     .wake(wanted.volume));
  }

  void drbd_says(const std::string& replication) {
    runner.answer =
        "\"secret\"\n"  // where it is asked for what the kernel's resource was made with
        "exists resource name:v role:Secondary suspended:no\n"
        "exists connection name:v connection:Connected role:Secondary\n"
        "exists device name:v volume:0 minor:1000 disk:UpToDate\n"
        "exists peer-device name:v volume:0 replication:" +
        replication + " peer-disk:Inconsistent resync-suspended:no\nexists -\n";
  }
};

}  // namespace

TEST_CASE("reconciler: a volume that is gone takes no other's turn to be resynchronised") {
  Node node;
  node.drbd_says("SyncSource");
  node.reconciler.reconcile("v");
  CHECK(node.resyncs_changed == 1);
  node.store.commit(Change().remove(keys::volume("v")));
  node.reconciler.reconcile("v");
  CHECK(node.resyncs_changed == 2);
}

TEST_CASE("reconciler: what was said of a lost copy is withdrawn before it is made anew [D14]") {
  Node node;
  node.drbd_says("Established");
  model::Volume volume = cases::mirrored().volume;
  volume.secret = "secret";
  volume.replicas = {{"n1", false, true}, {"n2", true}};
  model::Status said;
  said.session = "session";
  said.backing_gone = true;
  said.error = "its disk is gone";
  node.store.commit(Change()
                        .put(keys::volume("v"), model::to_json(volume))
                        .put(keys::status("n1", "v"), model::to_json(said))
                        .wake(volume));
  int looks = 0;
  node.runner.look = [&] {
    ++looks;
    const auto status = node.store.find_status("n1", "v");
    REQUIRE(status);
    CHECK_FALSE(status->backing_gone);
    CHECK(status->error.empty());
  };
  node.reconciler.reconcile("v");
  CHECK(looks > 0);
}

TEST_CASE(
    "reconciler: what nobody can read of the peer, or of itself, keeps no pass from its work") {
  Node node;
  node.drbd_says("Established");
  node.store.commit(Change()
                        .put(keys::node("n2"), "{")
                        .put(keys::status("n2", "v"), "{")
                        .put(keys::status("n1", "v"), "{"));
  node.reconciler.reconcile("v");
  const auto status = node.store.find_status("n1", "v");
  REQUIRE(status);
  CHECK(status->error.find("pool p") != std::string::npos);
}
