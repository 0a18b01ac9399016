#include <doctest/doctest.h>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;
using Nodes = std::set<std::string>;

namespace {

// The copies are on n1, which has died, and on n3, which it was to fill; n2 has a former one.
struct ForceCase : QuietNode {
  explicit ForceCase(const Nodes& current) {
    model::Volume volume = new_volume();
    volume.replicas[1] = {"n3", true, true};
    volume.former = {"n2"};
    put(keys::volume("v"), model::to_json(volume));
    put(keys::current("v"), model::to_json(model::Current{4, current, {}, {}}));
    put(keys::alive("n2"), "s2");
    put(keys::alive("n4"), "s4");
  }
  void force(const std::string& node) {
    commands.force_current({.name = "v", .node = node, .accept_data_loss = true, .by = "me"});
  }
};

}  // namespace

TEST_CASE("force-current: a copy that was replaced can be used while the new one is not whole") {
  ForceCase test({"n1"});
  test.force("n2");
  const model::Volume volume = test.store.find_volume("v")->value;
  const auto names = volume.nodes();
  CHECK(Nodes(names.begin(), names.end()) == Nodes{"n1", "n2"});
  CHECK(volume.find_replica("n2")->made);
  CHECK_FALSE(volume.find_replica("n2")->filled_by_peer);
  CHECK(volume.former == Nodes{"n3"});
  const model::Current current = test.store.find_current("v")->value;
  CHECK(current.nodes == Nodes{"n2"});
  CHECK(current.epoch == 5);
  CHECK(current.forced->node == "n2");
}

TEST_CASE("force-current: not when the new copy has been whole, for that one is newer") {
  ForceCase test({"n1", "n3"});
  CHECK_THROWS_AS(test.force("n2"), Error);
  CHECK(test.store.find_current("v")->value.epoch == 4);
  CHECK(test.store.find_volume("v")->value.former == Nodes{"n2"});
}

TEST_CASE("force-current: a node that never had a copy has none to be used") {
  ForceCase test({"n1"});
  CHECK_THROWS_AS(test.force("n4"), Error);
  CHECK(test.store.find_current("v")->value.nodes == Nodes{"n1"});
}

namespace {

struct Progress {
  double percent = 100;
  std::uint64_t out_of_sync_bytes = 0;
};

// n1 has the only current copy, n2 was at 40 % of its resync. n3 is where the user sits.
struct Pair : QuietNode {
  Pair() {
    put(keys::volume("v"), model::to_json(new_volume()));
    model::Current current{4, {"n1"}, {{"n2", 1'700'000'000}}, {}};
    put(keys::current("v"), model::to_json(current));
    put(keys::alive("n2"), "s2");
    say("n2", "s2", "Inconsistent", "Connecting");
    say("n1", "s1", "UpToDate", "Connecting", {60, 80U << 20U});
  }
  void say(const std::string& node, const std::string& session, const std::string& disk,
           const std::string& connection, const Progress& progress = {},
           const std::string& error = "") {
    model::Status status;
    status.session = session;
    status.disk_state = disk;
    status.connection = connection;
    status.synced_percent = progress.percent;
    status.out_of_sync_bytes = progress.out_of_sync_bytes;
    status.error = error;
    put(keys::status(node, "v"), model::to_json(status));
  }
  // "": it was done.
  std::string force(const std::string& node, bool accept = true) {
    const auto before = store.find_current("v");
    try {
      commands.force_current({.name = "v", .node = node, .accept_data_loss = accept, .by = "me"});
      return "";
    } catch (const Error& error) {
      CHECK(store.find_current("v")->revision == before->revision);
      return error.what();
    }
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("force-current: refused while the good copy's node runs without its agent [D2] [D18]") {
  Pair pair;
  SUBCASE("it is connected") {
    pair.say("n2", "s2", "Inconsistent", "Connected");
    CHECK(has(pair.force("n2"), "n1 is running without its agent"));
  }
  SUBCASE("it was, when the agent that has just started last said anything") {
    pair.say("n2", "older", "Inconsistent", "Connected");
    CHECK(has(pair.force("n2"), "n1 is running without its agent"));
  }
  SUBCASE("nobody can see it, since the agent of the chosen copy is not running, either") {
    pair.store.commit(store::Change().remove(keys::alive("n2")));
    CHECK(has(pair.force("n2"), "start n2 and its agent first"));
  }
  SUBCASE("its agent has started and said nothing yet") {
    pair.put(keys::alive("n1"), "new");
    pair.say("n1", "s1", "Diskless", "Connected");
    CHECK(has(pair.force("n2"), "has just started"));
  }
  SUBCASE("not once it is really gone") {
    CHECK(pair.force("n2").empty());
  }
}

TEST_CASE("force-current: what is lost is said before it is asked for [O8]") {
  Pair pair;
  const std::string said = pair.force("n2", false);
  CHECK(has(said, "left the current set at 2023-11-14T22:13:20Z and lacks at least 80Mi"));
  CHECK(has(said, "--i-accept-data-loss"));
}

TEST_CASE("force-current: the copy that is the only current one already is not forced again [O9]") {
  Pair pair;
  CHECK(has(pair.force("n1"), "start n1 and its agent first"));
  pair.put(keys::alive("n1"), "s1");
  pair.say("n1", "s1", "Attaching", "", {}, "waits for its disk");
  CHECK(has(pair.force("n1"), "is already the only current one"));
  CHECK(has(pair.force("n1"), "waits for its disk"));
  // What DRBD says of its disk is what the user may overrule.
  for (const char* disk : {"Outdated", "Diskless"}) {
    pair.say("n1", "s1", disk, "");
    CHECK(pair.force("n1").empty());
    CHECK(pair.store.find_current("v")->value.forced->disk_state == disk);
  }
}

TEST_CASE("volume show: what a copy lacks is told of that copy [O8]") {
  Pair pair;
  auto shown = pair.commands.show_volume("v").replicas;
  REQUIRE(shown.size() == 2);
  CHECK(shown[0].synced_percent == 100);
  CHECK(shown[0].out_of_sync_bytes == 0);
  CHECK(shown[1].lacks_more);
  CHECK(shown[1].out_of_sync_bytes == 80U << 20U);
  CHECK(shown[1].left_at == 1'700'000'000);
  // A resync: it knows by itself.
  pair.say("n2", "s2", "Inconsistent", "Connected", {75, 50U << 20U});
  shown = pair.commands.show_volume("v").replicas;
  CHECK_FALSE(shown[1].lacks_more);
  CHECK(shown[1].synced_percent == 75);
  CHECK(shown[1].out_of_sync_bytes == 50U << 20U);
  // One that does not exist yet.
  model::Volume volume = QuietNode::new_volume();
  volume.size_bytes = 1U << 30U;
  volume.replicas[1] = {"n2", false, true};
  pair.put(keys::volume("v"), model::to_json(volume));
  shown = pair.commands.show_volume("v").replicas;
  CHECK_FALSE(shown[1].made);
  CHECK(shown[1].synced_percent == 0);
}
