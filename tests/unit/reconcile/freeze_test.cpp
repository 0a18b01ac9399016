// A freeze that outlasts the link, while the store takes no writes.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/model/codec.h"
#include "tests/unit/reconcile/frozen_node.h"

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

TEST_CASE("freeze: while nobody answers, the connection stays open for the peer [D7] [D18]") {
  FrozenNode node;
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
  FrozenNode node;
  node.reconciler.reconcile("v");
  CHECK(node.runner.done.starts_with("disconnect, resume-io, adjust"));
  CHECK_FALSE(node.is_current("n2"));
}

TEST_CASE("reconciler: another's resource of the volume's name is left alone [D15]") {
  FrozenNode node;
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
