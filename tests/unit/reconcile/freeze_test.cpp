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
  CHECK(node.store.find_status("n1", "v")->error.find("does not touch it") != std::string::npos);
  // Nor when it is deleted: its own part goes, the resource stays.
  model::Volume volume = node.store.find_volume("v")->value;
  volume.deleting = true;
  node.store.commit(Change().put(keys::volume("v"), model::to_json(volume)));
  node.reconciler.reconcile("v");
  CHECK(node.runner.done.empty());
}

TEST_CASE("freeze: what is thawed by is on this node's disk before [D19]") {
  FrozenNode node;
  node.runner.on_thaw = [&] {
    store::ActedSets after_a_crash(node.directory.path() / "acted");
    const auto acted = after_a_crash.find(cases::kId);
    REQUIRE(acted);
    const auto current = node.store.find_current("v")->value;
    CHECK(acted->epoch == current.epoch);
    CHECK(acted->id == current.history.changes.back().id);
    CHECK(acted->nodes == std::set<std::string>{"n1"});
  };
  node.reconciler.reconcile("v");
  CHECK(node.runner.suspended == "no");
}

TEST_CASE("freeze: where it cannot be written down, or read, nothing is thawed [D19]") {
  FrozenNode node;
  const auto folder = node.directory.path() / "acted";
  SUBCASE("written") {
    std::filesystem::create_directories(folder / ("." + std::string(cases::kId) + ".new") /
                                        "in the way");
  }
  SUBCASE("read") {
    std::ofstream(folder) << "in the directory's place";
  }
  CHECK(node.reconciler.reconcile("v") == Outcome::TryLater);
  CHECK(node.runner.suspended == "fencing");
  CHECK(node.runner.connection == "Connecting");
  const auto status = node.store.find_status("n1", "v");
  REQUIRE(status);
  CHECK(status->error.find("acted") != std::string::npos);
}

TEST_CASE("freeze: an old backup of the store neither thaws nor parts nor removes [D19]") {
  FrozenNode node;
  const model::Volume volume = node.store.find_volume("v")->value;
  model::Current newer = node.store.find_current("v")->value;
  newer.epoch = 6;
  newer.nodes = {"n1"};
  newer.history.changes = {{.epoch = 6, .id = "six"}};
  node.acted.record(volume, newer);
  bool has_status = true;
  SUBCASE("n1 is in its set") {}
  SUBCASE("n1 is not in its set") {
    model::Current older = node.store.find_current("v")->value;
    older.nodes = {"n2"};
    node.store.commit(Change().put(keys::current("v"), model::to_json(older)));
  }
  SUBCASE("n2 has won in it") {
    model::Current other = newer;
    other.nodes = {"n2"};
    other.epoch = 8;
    other.history.changes = {{.epoch = 6, .id = "another"}, {.epoch = 8, .id = "eight"}};
    node.store.commit(Change()
                          .put(keys::current("v"), model::to_json(other))
                          .put(keys::history("v"), model::to_json(other.history)));
  }
  SUBCASE("it is being deleted") {
    model::Volume deleting = volume;
    deleting.deleting = true;
    node.store.commit(Change().put(keys::volume("v"), model::to_json(deleting)));
  }
  SUBCASE("n1 has no copy yet, or no more") {
    model::Volume other = volume;
    other.replicas = {{"n2", true}, {"n3", true}};
    SUBCASE("and has to remove one") {
      other.former = {"n1"};
    }
    SUBCASE("at all") {
      has_status = false;
    }
    node.store.commit(Change().put(keys::volume("v"), model::to_json(other)));
  }
  const auto set = node.raw.get(keys::current("v"));
  const auto record = node.raw.get(keys::volume("v"));
  node.reconciler.arbitrate("v");
  CHECK(node.reconciler.reconcile("v") == Outcome::TryLater);
  CHECK(node.runner.done.empty());
  CHECK(node.runner.suspended == "fencing");
  CHECK(node.raw.get(keys::current("v"))->revision == set->revision);
  CHECK(node.raw.get(keys::volume("v"))->revision == record->revision);
  CHECK(node.acted.find(cases::kId)->epoch == 6);
  const auto status = node.store.find_status("n1", "v");
  REQUIRE(status.has_value() == has_status);
  if (status) CHECK(status->error.find("plexvol store repair") != std::string::npos);
}

TEST_CASE("freeze: a store that does not know the volume changes nothing [D19]") {
  FrozenNode node;
  node.reconciler.reconcile("v");
  REQUIRE(node.acted.find(cases::kId));
  node.runner.done.clear();
  node.runner.suspended = "fencing";
  for (const auto& prefix : {"volumes/", "current/", "history/", "attachments/", "assigned/"}) {
    for (const auto& entry : node.raw.list(prefix)) node.store.commit(Change().remove(entry.key));
  }
  CHECK(node.reconciler.reconcile("v") == Outcome::Settled);
  CHECK(node.runner.done.empty());
  CHECK(node.acted.find(cases::kId));
  CHECK(std::filesystem::exists(node.directory.path() / "drbd" / "v.res"));
}
