// A freeze that outlasts the link, while the store takes no writes.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/model/codec.h"
#include "tests/unit/reconcile/plan_cases.h"
#include "tests/unit/reconcile/reconciler_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

namespace {

// As etcd after NOSPACE: it answers what it has, and takes nothing.
class FullStore : public support::CountingStore {
 public:
  using CountingStore::CountingStore;
  bool commit(const store::Transaction& transaction) override {
    if (writes_left == 0) throw Error(ErrorCode::Unavailable, "etcd: database space exceeded");
    --writes_left;
    return CountingStore::commit(transaction);
  }
  int writes_left = 1000;
};

// A frozen primary, and what is done to it.
class FrozenKernel : public process::Runner {
 public:
  process::Output run(const process::Command& command) override {
    const std::string verb = command.argv.back() == "all" ? "adjust" : command.argv.at(1);
    process::Output output;
    if (verb == "events2") {
      output.out = "exists resource name:v role:Primary suspended:" + suspended +
                   "\nexists connection name:v connection:" + connection +
                   " role:Unknown\nexists device name:v volume:0 minor:1000 disk:UpToDate\n"
                   "exists peer-device name:v volume:0 replication:Off peer-disk:DUnknown "
                   "resync-suspended:no\nexists -\n";
      return output;
    }
    if (verb == "show") {
      output.out =
          "resource v {\n _this_host {\n address ipv4 10.0.0.1:7000;\n }\n _remote_host {\n "
          "address ipv4 10.0.0.2:7000;\n }\n}\n";
      return output;
    }
    done += (done.empty() ? "" : ", ") + verb;
    if (verb == "disconnect") connection = "StandAlone";
    if (verb == "adjust") connection = "Connecting";
    if (verb == "resume-io") suspended = "no";
    return output;
  }
  std::string suspended = "fencing";
  std::string connection = "Connecting";
  std::string done;
};

struct Node : ReconcilerNode<FrozenKernel, FullStore> {
  Node() : ReconcilerNode(std::chrono::seconds(0)) {
    std::ofstream(directory.path() / "version") << "8.4.11\n";
    std::filesystem::create_directories(directory.path() / "drbd");
    std::ofstream(directory.path() / "drbd" / "v.res")
        << "    shared-secret \"secret\";\n  device minor 1000;\n";
    Wanted wanted = cases::attached(cases::mirrored());
    wanted.volume.secret = "secret";
    store.commit(Change()
                     .put(keys::volume("v"), model::to_json(wanted.volume))
                     .put(keys::attachment("v"), model::to_json(*wanted.attachment))
                     .put(keys::current("v"), model::to_json(*wanted.current))
                     .wake(wanted.volume));
  }
  bool is_current(const std::string& node) {
    return store.find_current("v")->value.nodes.contains(node);
  }
};

}  // namespace

TEST_CASE("freeze: while nobody answers, the connection stays open for the peer [D7] [D18]") {
  Node node;
  node.raw.writes_left = 0;
  SUBCASE("it is not parted") {
    CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
    CHECK(node.runner.done.empty());
  }
  SUBCASE("what a former agent has parted is connected again") {
    node.runner.connection = "StandAlone";
    CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
    CHECK(node.runner.done == "adjust");
    CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
    CHECK(node.runner.done == "adjust");
  }
  SUBCASE("so is what was parted for a question that found no answer") {
    node.raw.writes_left = 1;
    CHECK(node.reconciler.reconcile("v") == Outcome::TrySoon);
    CHECK(node.runner.done == "disconnect, adjust");
    CHECK_FALSE(node.is_current("n2"));
  }
  // Rule 6: it is never thawed on an answer to another freeze.
  CHECK(node.runner.suspended == "fencing");
  CHECK(node.runner.connection == "Connecting");
}

TEST_CASE("freeze: it ends when the question is answered after the two were parted [D7]") {
  Node node;
  node.reconciler.reconcile("v");
  CHECK(node.runner.done.starts_with("disconnect, resume-io, adjust"));
  CHECK_FALSE(node.is_current("n2"));
}

TEST_CASE("reconciler: another's resource of the volume's name is left alone [D15]") {
  Node node;
  const auto before = node.raw.get(keys::current("v"))->value;
  SUBCASE("of an older volume of this name") {
    std::ofstream(node.directory.path() / "drbd" / "v.res")
        << "    shared-secret \"older\";\n  device minor 1000;\n";
  }
  SUBCASE("with another minor") {
    model::Volume volume = node.store.find_volume("v")->value;
    volume.minor = 1001;
    node.store.commit(Change().put(keys::volume("v"), model::to_json(volume)));
  }
  SUBCASE("that we know nothing of") {
    std::filesystem::remove(node.directory.path() / "drbd" / "v.res");
  }
  CHECK(node.reconciler.reconcile("v") == Outcome::TryLater);
  CHECK(node.runner.done.empty());
  CHECK(node.runner.suspended == "fencing");
  CHECK(node.raw.get(keys::current("v"))->value == before);
  CHECK(node.store.find_status("n1", "v")->error.find("is not touched") != std::string::npos);
  // Nor when it is deleted: its own part goes, the resource stays.
  model::Volume volume = node.store.find_volume("v")->value;
  volume.deleting = true;
  node.store.commit(Change().put(keys::volume("v"), model::to_json(volume)));
  node.reconciler.reconcile("v");
  CHECK(node.runner.done.empty());
}
