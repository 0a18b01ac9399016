#include "agent/cluster/nodes.h"

#include <doctest/doctest.h>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::cluster;  // NOLINT(google-build-using-namespace)
using store::Change;
namespace keys = store::keys;

namespace {

// All agents live; the volume has both copies in the set, and is attached nowhere.
struct NodesCase : volumes::QuietNode {
  model::Volume volume = new_volume();

  NodesCase() {
    for (const char* node : {"n1", "n2", "n3"}) {
      put(keys::alive(node), node);
      put(keys::node(node), model::to_json(node_of(node)));
      say(node, "", ErrorCode::Internal);
    }
    put(keys::current("v"), model::to_json(model::Current{1, {"n1", "n2"}, {}, {}}));
  }
  void moved_to_third() {
    volume.replicas[1] = {"n3", true, true};
    volume.former = {"n2"};
  }
  static model::Node node_of(const std::string& name) {
    model::Node node;
    node.name = name;
    return node;
  }
  void say(const std::string& node, const std::string& error, ErrorCode code,
           double percent = 100) {
    model::Status status;
    status.session = node;
    status.synced_percent = percent;
    status.error = error;
    status.error_code = code;
    put(keys::status(node, "v"), model::to_json(status));
  }
  // Of the one volume: "why", with "!" before it where a person is needed.
  std::string drain(const std::string& node) {
    put(keys::volume("v"), model::to_json(volume));
    const auto left = commands.change_node({.name = node, .action = "drain"}).left;
    if (left.empty()) return "";
    CHECK(left.size() == 1);
    return (left.front().needs_person ? "!" : "") + left.front().why;
  }
};

}  // namespace

TEST_CASE("forget: a node that nobody knows is an error that names those that are known [O9]") {
  NodesCase test;
  for (const char* action : {"forget", "drain", "cordon", "uncordon"}) {
    CAPTURE(action);
    try {
      test.commands.change_node({.name = "nosuch", .action = action});
      FAIL("it was taken for a node");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::NotFound);
      CHECK(std::string(error.what()) == "no node named nosuch; there are: n1, n2, n3");
    }
  }
}

TEST_CASE("drain: says of each volume what it waits for") {
  NodesCase test;
  CHECK(test.drain("n3").empty());
  CHECK(test.drain("n2") == "waiting for its turn to be moved");
  SUBCASE("its pod") {
    test.put(keys::attachment("v"),
             model::to_json(model::Attachment{"n2", 0, model::Holder::Mount, {}, {}, {}}));
    CHECK(test.drain("n2") == "!is in use there: move its pod away");
  }
  SUBCASE("the other copy") {
    test.put(keys::current("v"), model::to_json(model::Current{2, {"n2"}, {}, {}}));
    CHECK(test.drain("n2") == "its newest data is only there until n1 has been resynchronised");
  }
  SUBCASE("room anywhere") {
    test.say("n1", "cannot create a second replica", ErrorCode::OutOfSpace);
    CHECK(test.drain("n2") == "!n1: cannot create a second replica");
  }
}

TEST_CASE("forget: not while nobody knows whether a volume has its last copy there [D6]") {
  NodesCase test;
  test.store.commit(Change().remove(keys::alive("n2")).remove(keys::alive("n1")));
  test.put(keys::volume("bad"), "{}");
  const auto left = test.commands.change_node({.name = "n2", .action = "forget"}).left;
  REQUIRE(left.size() == 1);
  CHECK(left.front().volume == "bad");
  CHECK(left.front().needs_person);
  CHECK(left.front().why.starts_with("volumes/bad: the record cannot be read"));
  CHECK(test.store.find_node("n2"));
  CHECK_FALSE(test.store.find_cordon("n2"));
  test.store.commit(Change().remove(keys::volume("bad")));
  test.put(keys::attachment("bad"), "?");
  test.put("machines/n2", model::to_json(model::Machine{.id = "A", .since = 0}));
  CHECK(test.commands.change_node({.name = "n2", .action = "forget"}).left.empty());
  CHECK_FALSE(test.store.find_node("n2"));
  // The name is free for another machine.
  CHECK_FALSE(test.raw.get("machines/n2"));
}

TEST_CASE("adopt: a node's name is given up by a machine whose agent is down only [D8]") {
  NodesCase test;
  test.put("machines/n2", model::to_json(model::Machine{.id = "A", .since = 0}));
  CHECK_THROWS_AS(test.commands.change_node({.name = "n2", .action = "adopt"}), Error);
  CHECK(test.raw.get("machines/n2"));
  test.store.commit(Change().remove(keys::alive("n2")));
  CHECK(test.commands.change_node({.name = "n2", .action = "adopt"}).left.empty());
  CHECK_FALSE(test.raw.get("machines/n2"));
}

TEST_CASE("cordon: what a newer version has written into it stays when a drain follows [D6]") {
  NodesCase test;
  test.put(keys::cordon("n2"), R"({"drain": false, "forget": false, "since": 1, "why": "disks"})");
  test.put(keys::volume("v"), model::to_json(test.volume));
  test.commands.change_node({.name = "n2", .action = "drain"});
  const std::string now = test.raw.get(keys::cordon("n2"))->value;
  CHECK_MESSAGE(now.find(R"("why":"disks")") != std::string::npos, now);
  CHECK_MESSAGE(now.find(R"("drain":true)") != std::string::npos, now);
}

TEST_CASE("volume list: one that nobody can read is there by its name [D6]") {
  NodesCase test;
  test.put(keys::volume("v"), model::to_json(test.volume));
  test.put(keys::volume("bad"), "?");
  test.put(keys::status("n1", "bad"), "?");
  test.put(keys::current("bad"), "?");
  const auto volumes = test.commands.list_volumes();
  REQUIRE(volumes.size() == 2);
  CHECK(volumes[0].name == "v");
  CHECK(volumes[1].name == "bad");
  CHECK(volumes[1].state == "Unreadable");
  test.put(keys::node("bad"), "?");
  CHECK(test.commands.list_nodes().size() == 3);
}

TEST_CASE("drain: of a copy that was replaced it says what keeps the new one from being whole") {
  NodesCase test;
  test.moved_to_third();
  const std::string waits = "its old replica is removed once the others are up to date";
  CHECK(test.drain("n2") == waits);
  SUBCASE("the copying") {
    test.say("n3", "", ErrorCode::Internal, 40);
    CHECK(test.drain("n2") == waits + ": n3 has 40%");
  }
  SUBCASE("what its node cannot do") {
    test.say("n3", "vg0 is full", ErrorCode::OutOfSpace);
    CHECK(test.drain("n2") == waits + ": n3: vg0 is full");
  }
  SUBCASE("its node") {
    test.store.commit(Change().remove(keys::alive("n3")));
    CHECK(test.drain("n2") == waits + ": n3 does not answer");
  }
}
