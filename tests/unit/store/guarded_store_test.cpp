// Who may use the store: one machine of each name, and no agent that would break what a newer one
// keeps there.
#include "agent/store/guarded_store.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "agent/api/error.h"
#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "tests/support/store_calls.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

using support::put;

namespace {

using std::chrono::milliseconds;

struct OneName {
  support::TemporaryDirectory directory;
  FileStore raw{directory.path()};

  void put(const std::string& key, const std::string& value) {
    REQUIRE(raw.commit({.conditions = {}, .writes = {{key, value}}}));
  }
  void remove(const std::string& key) {
    REQUIRE(raw.commit({.conditions = {}, .writes = {{key, std::nullopt}}}));
  }
  // n1 is the machine A, which runs at this address.
  void add_other(const std::string& address = "10.0.0.1") {
    put("machines/n1", model::to_json(model::Machine{.id = "A", .since = 1}));
    add_former(address);
  }
  // The same by an agent of 0.1.0, which does not say which machine it is.
  void add_former(const std::string& address) {
    model::Node node;
    node.name = "n1";
    node.address = address;
    put("nodes/n1", model::to_json(node));
    put("alive/n1", "a session");
  }
  std::unique_ptr<GuardedStore> open(const std::string& machine, const std::string& address = "") {
    return std::make_unique<GuardedStore>(raw, Identity{.node = "n1",
                                                        .machine = machine,
                                                        .address = [address] { return address; },
                                                        .retry = milliseconds(10)});
  }
  std::string machine() {
    const auto entry = raw.get("machines/n1");
    return entry ? model::from_json<model::Machine>(entry->value).id : "";
  }
};

// "" when the store can be used.
std::string refusal(Store& store) {
  try {
    store.get("a");
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Unavailable);
    return error.what();
  }
}

void await_granted(Store& store) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!refusal(store).empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  CHECK(refusal(store) == "");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("guard: the first machine of a name has it, also after a restart at once [D8]") {
  OneName cluster;
  for (int start = 0; start < 2; ++start) {
    const auto guard = cluster.open("A");
    CHECK(refusal(*guard) == "");
    CHECK(cluster.machine() == "A");
    CHECK(put(*guard, "alive/n1", "left behind"));
    CHECK_FALSE(guard->commit({.conditions = {{"absent", 7}}, .writes = {{"a", "1"}}}));
    CHECK_FALSE(cluster.raw.get("a"));
  }
}

TEST_CASE("guard: another machine of a living node's name does nothing at all [D8]") {
  OneName cluster;
  cluster.add_other();
  const auto guard = cluster.open("B", "10.0.0.2");
  const std::string said = refusal(*guard);
  CHECK_MESSAGE(contains(said, "node n1: another machine at 10.0.0.1 has this name"), said);
  CHECK(guard->refusal() == said);
  CHECK_THROWS_AS(put(*guard, "a", "1"), Error);
  CHECK_THROWS_AS(guard->list("volumes/"), Error);
  CHECK_THROWS_AS(guard->get_all({"a"}), Error);
  CHECK_THROWS_AS(guard->announce("alive/n1", "s", std::chrono::seconds(5), {}), Error);
  CHECK(cluster.raw.get("alive/n1")->value == "a session");
  CHECK(cluster.machine() == "A");
  CHECK_THROWS_AS(guard->give_name_up(), Error);
  CHECK(cluster.machine() == "A");
  // Without copies there is nothing to be lost when it ends.
  cluster.remove("alive/n1");
  await_granted(*guard);
  CHECK(cluster.machine() == "B");
  CHECK(guard->refusal() == "");
}

TEST_CASE("guard: a node with copies is no other machine until somebody says so [D8]") {
  OneName cluster;
  cluster.add_other();
  cluster.remove("alive/n1");
  cluster.put("assigned/n1/v", "id");
  const auto guard = cluster.open("B");
  const std::string said = refusal(*guard);
  CHECK_MESSAGE(contains(said, "plexvol node forget n1"), said);
  CHECK_MESSAGE(contains(said, "plexvol node adopt n1"), said);
  SUBCASE("its copies are given up") {
    cluster.remove("assigned/n1/v");
    await_granted(*guard);
  }
  SUBCASE("they are in this machine") {
    guard->give_name_up();
    CHECK(refusal(*guard) == "");
  }
  CHECK(cluster.machine() == "B");
}

TEST_CASE("guard: a machine that has lost its name writes nothing any more [D8]") {
  OneName cluster;
  const auto guard = cluster.open("A");
  CHECK(put(*guard, "a", "1"));
  cluster.put("machines/n1", model::to_json(model::Machine{.id = "B", .since = 1}));
  cluster.put("alive/n1", "B's");
  CHECK_THROWS_AS(put(*guard, "a", "2"), Error);
  CHECK(cluster.raw.get("a")->value == "1");
  CHECK(contains(refusal(*guard), "another machine"));
}

TEST_CASE("guard: a name that was given up while its machine was cut off is claimed again [D8]") {
  OneName cluster;
  const auto guard = cluster.open("A");
  CHECK(put(*guard, "a", "1"));
  cluster.remove("machines/n1");
  CHECK(put(*guard, "a", "2"));
  CHECK(cluster.machine() == "A");
}

TEST_CASE("guard: an agent of 0.1.0 elsewhere has the name while it lives [D8]") {
  OneName cluster;
  cluster.add_former("10.0.0.1");
  SUBCASE("at another address") {
    const auto guard = cluster.open("B", "10.0.0.2");
    CHECK(contains(refusal(*guard), "another machine at 10.0.0.1"));
    cluster.remove("alive/n1");
    await_granted(*guard);
  }
  SUBCASE("at this machine's address: its own former life") {
    const auto guard = cluster.open("B", "10.0.0.1");
    CHECK(refusal(*guard) == "");
  }
  CHECK(cluster.machine() == "B");
}

TEST_CASE("guard: a holder that nobody can read is not taken for none [D8]") {
  OneName cluster;
  cluster.put("machines/n1", "?");
  const auto guard = cluster.open("B");
  CHECK(contains(refusal(*guard), "machines/n1 cannot be read"));
  CHECK(cluster.raw.get("machines/n1")->value == "?");
}

TEST_CASE("guard: an agent that a newer one would be damaged by does not write [D6]") {
  OneName cluster;
  const auto guard = cluster.open("A");
  const auto set = [&](unsigned writers) {
    cluster.put("schema", model::to_json(model::Schema{.writers = writers, .by = "7.1.0"}));
  };
  CHECK(put(*guard, "a", "1"));
  set(model::kSchema);
  CHECK(put(*guard, "a", "2"));
  // Also one that was running already, from the very moment on.
  set(model::kSchema + 1);
  CHECK_THROWS_AS(put(*guard, "a", "3"), Error);
  CHECK(cluster.raw.get("a")->value == "2");
  const std::string said = refusal(*cluster.open(""));
  CHECK_MESSAGE(contains(said, "plexvold 7.1.0"), said);
  CHECK_MESSAGE(contains(said, "upgrade the agent"), said);
  set(model::kSchema);
  await_granted(*guard);
  cluster.put("schema", "?");
  CHECK_THROWS_AS(put(*guard, "a", "4"), Error);
  cluster.remove("schema");
  await_granted(*guard);
}

namespace {

// What was seen of the store, in a cluster whose store can be rolled back.
struct Turned {
  OneName cluster;
  StoreSeen seen{cluster.directory.path() / "store-seen"};
  GuardedStore guard{cluster.raw, Identity{.node = "n1", .machine = "A", .seen = &seen}};

  Turned() { seen.note(seen.last(), {.cluster = 1, .revision = 10}); }
  void turn_back() { seen.note(seen.last(), {.cluster = 1, .revision = 9}); }
  std::string change_set() {
    try {
      return put(guard, "current/v", "1") ? "" : "false";
    } catch (const Error& error) {
      return error.what();
    }
  }
};

}  // namespace

TEST_CASE("guard: once the store was rolled back, no set is changed [D19]") {
  Turned t;
  CHECK(t.change_set() == "");
  t.turn_back();
  const std::string said = t.change_set();
  CHECK_MESSAGE(contains(said, "plexvol store repair"), said);
  CHECK_MESSAGE(contains(said, "as n1 saw at"), said);
  CHECK(t.guard.rolled_back() == said);
  CHECK(t.cluster.raw.get("store/rolled-back"));
  CHECK(t.seen.contradiction().empty());  // it is told, and used as it is
  CHECK(t.change_set() == said);
  // Reads, and all that changes no set, go on.
  CHECK(t.guard.get("current/v")->value == "1");
  CHECK(put(t.guard, "a", "1"));
  // Who knows of it may do something about it.
  const auto turned = t.cluster.raw.get("store/rolled-back");
  CHECK(t.guard.commit({.conditions = {{turned->key, turned->revision}},
                        .writes = {{"current/v", "2"}, {turned->key, std::nullopt}}}));
  CHECK(t.change_set() == "");
}

TEST_CASE("guard: a store that another agent saw rolled back changes no set, either [D19]") {
  Turned t;
  CHECK(t.change_set() == "");
  t.cluster.put("store/rolled-back",
                model::to_json(model::RolledBack{.node = "n2", .at = 0, .what = "it"}));
  CHECK(contains(t.change_set(), "as n2 saw at 1970"));
  t.cluster.put("store/rolled-back", "?");
  CHECK(contains(t.change_set(), "no volume's current set is changed"));
  t.cluster.remove("store/rolled-back");
  CHECK(t.change_set() == "");
}

TEST_CASE("guard: who reads that the store was rolled back tells it by himself [D19]") {
  Turned t;
  CHECK(t.change_set() == "");
  t.turn_back();
  t.guard.get("a");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!t.cluster.raw.get("store/rolled-back") && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  CHECK(t.cluster.raw.get("store/rolled-back"));
}

}  // namespace plexvol::store
