// `plexvol store repair`, from what the nodes say to what the store has.
#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "agent/api/error.h"
#include "agent/store/acted_report.h"
#include "agent/store/sets.h"
#include "tests/unit/volumes/quiet_node.h"

namespace plexvol::cluster {

namespace {

namespace keys = store::keys;
using Nodes = std::set<std::string>;

bool await(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  return holds();
}

// n1 and n2 have replicas of v, and each has its own directory.
struct Cluster : volumes::QuietNode {
  store::ActedSets on_n1{directory.path() / "n1"};
  store::ActedSets on_n2{directory.path() / "n2"};
  model::Volume volume = new_volume();

  Cluster() {
    volume.format = model::Format::Done;
    put(keys::slot(0), "v");
    model::Current set;
    set.nodes = {"n1", "n2"};
    write(store::next_set(set));
  }
  void write(const model::Current& set) {
    store::Change change;
    change.put(keys::volume("v"), model::to_json(volume)).wake(volume);
    store::put_set("v", set, change);
    store.commit(change);
  }
  model::Current set() { return store.find_current("v")->value; }
  void act(store::ActedSets& theirs) { theirs.record(volume, set()); }
  // n1 is dead, and n2 goes on alone.
  void fail_over() {
    arbiter::Arbiter theirs(store, on_n2);
    REQUIRE(theirs.take_out(volume, "n2", "n1", "a test") == arbiter::Verdict::Won);
  }
  void raise(store::ActedSets& theirs, const std::string& node) {
    store::ActedReport report(store, theirs, node);
    report.contradicted("v");
    CHECK(await([&] { return has_answered(node); }));
  }
  bool has_answered(const std::string& node) {
    const auto turned = store.find_rolled_back();
    const auto said = raw.get(keys::acted_all(node));
    return turned && said && said->value == std::to_string(turned->revision);
  }
  bool has_slot_and_both_assigned() {
    const auto slot = raw.get(keys::slot(0));
    return slot && slot->value == "v" && raw.get(keys::assigned("n1", "v")) &&
           raw.get(keys::assigned("n2", "v"));
  }
  void refuses_a_minor_of_another() {
    put(keys::slot(0), "another");
    CHECK_FALSE(
        commands.repair({.apply = true, .accept_data_loss = false, .without = {}, .use = {}}).done);
    CHECK_FALSE(raw.get(keys::volume("v")));
    store.commit(store::Change().remove(keys::slot(0)));
  }
  bool takes_back_what_was_said() {
    return await([&] { return raw.list("acted").empty(); });
  }
  bool both_answer() {
    return await([&] { return has_answered("n1") && has_answered("n2"); });
  }
  void clear() {
    for (const store::Entry& entry : raw.list("")) store.commit(store::Change().remove(entry.key));
  }
};

const api::RepairRequest kLook{};
const api::RepairRequest kApply{.apply = true, .accept_data_loss = false, .without = {}, .use = {}};

}  // namespace

TEST_CASE("store repair: an old backup gets the set that was acted on last [D19]") {
  Cluster c;
  c.act(c.on_n1);
  c.act(c.on_n2);
  const model::Current backup = c.set();
  c.fail_over();
  CHECK(c.commands.repair(kApply).done);  // nobody says that the store is older
  CHECK(c.commands.repair(kApply).volumes.empty());
  c.write(backup);
  c.raise(c.on_n2, "n2");
  // n1 is not asked for nothing.
  auto reply = c.commands.repair(kApply);
  CHECK_FALSE(reply.done);
  REQUIRE(reply.volumes.size() == 1);
  CHECK(reply.volumes[0].in_doubt);
  CHECK(reply.volumes[0].nodes ==
        std::vector<std::string>{"n2 acted on set 2 {n2}", "n1 has not answered"});
  CHECK(c.set().epoch == 1);
  c.raise(c.on_n1, "n1");
  // Without a word nothing is changed.
  reply = c.commands.repair(kLook);
  CHECK_FALSE(reply.done);
  CHECK_FALSE(reply.volumes[0].in_doubt);
  CHECK(c.set().epoch == 1);
  CHECK(c.store.find_rolled_back());
  reply = c.commands.repair(kApply);
  CHECK(reply.done);
  CHECK_FALSE(c.store.find_rolled_back());
  CHECK(c.set().nodes == Nodes{"n2"});
  CHECK(c.set().epoch == 3);
  c.act(c.on_n1);
  c.act(c.on_n2);
  CHECK(c.on_n1.find("id")->epoch == 3);
  CHECK(c.on_n2.find("id")->epoch == 3);
}

TEST_CASE("store repair: a contradiction that was repaired meanwhile is not told of [D19]") {
  Cluster c;
  c.act(c.on_n2);
  const model::Current backup = c.set();
  c.fail_over();
  const model::Current newest = c.set();
  store::ActedReport report(c.store, c.on_n2, "n2");
  report.contradicted("v");
  report.contradicted("unknown");
  c.write(backup);
  report.contradicted("v");
  REQUIRE(await([&] { return c.has_answered("n2"); }));
  c.write(newest);
  c.store.commit(store::Change().remove(keys::rolled_back()));
  report.contradicted("v");
  REQUIRE(await([&] { return c.raw.list("acted").empty(); }));
  CHECK_FALSE(c.store.find_rolled_back());
}

TEST_CASE("store repair: a person goes on without a node, or chooses [D19]") {
  Cluster c;
  c.act(c.on_n1);
  c.act(c.on_n2);
  const model::Current backup = c.set();
  c.fail_over();
  c.write(backup);
  SUBCASE("without") {
    c.raise(c.on_n2, "n2");
    CHECK(
        c.commands.repair({.apply = true, .accept_data_loss = false, .without = {"n1"}, .use = {}})
            .done);
    CHECK(c.set().nodes == Nodes{"n2"});
  }
  SUBCASE("chooses") {
    arbiter::Arbiter theirs(c.store, c.on_n1);
    CHECK(theirs.take_out(c.volume, "n1", "n2", "a test") == arbiter::Verdict::Won);
    c.raise(c.on_n2, "n2");
    c.raise(c.on_n1, "n1");
    CHECK_FALSE(c.commands.repair(kApply).done);
    api::RepairRequest request{
        .apply = true, .accept_data_loss = false, .without = {}, .use = {{"v", "n2"}}};
    CHECK_THROWS_AS(c.commands.repair(request), Error);
    request.accept_data_loss = true;
    CHECK(c.commands.repair(request).done);
    CHECK(c.set().nodes == Nodes{"n2"});
    c.act(c.on_n1);
    c.act(c.on_n2);
    request.use = {{"w", "n2"}};
    c.put(keys::rolled_back(), model::to_json(model::RolledBack{}));
    CHECK_THROWS_AS(c.commands.repair(request), Error);
  }
}

TEST_CASE("store repair: an empty store is told of the volumes again [D19]") {
  Cluster c;
  c.act(c.on_n1);
  c.act(c.on_n2);
  c.fail_over();
  const auto volume = c.raw.get(keys::volume("v"))->value;
  c.clear();
  {
    // Who has replicas, and finds none in the store, knows what that means.
    const store::ActedReport one(c.store, c.on_n1, "n1");
    const store::ActedReport other(c.store, c.on_n2, "n2");
    CHECK(c.both_answer());
    CHECK(c.store.find_rolled_back()->value.what.find("knows no volume") != std::string::npos);
    SUBCASE("at once") {}
    SUBCASE("its minor is another's by now") {
      c.refuses_a_minor_of_another();
    }
    CHECK(c.commands.repair(kApply).done);
    // What was said for this is taken back.
    CHECK(c.takes_back_what_was_said());
  }
  CHECK(c.raw.get(keys::volume("v"))->value == volume);
  CHECK(c.set().nodes == Nodes{"n2"});
  CHECK(c.has_slot_and_both_assigned());
}

TEST_CASE("store repair: of what cannot be read on a node nothing is said [D19]") {
  Cluster c;
  c.act(c.on_n1);
  std::ofstream(c.directory.path() / "n1" / "damaged") << "?";
  c.put(keys::rolled_back(), model::to_json(model::RolledBack{}));
  const store::ActedReport report(c.store, c.on_n1, "n1");
  c.act(c.on_n2);
  const store::ActedReport other(c.store, c.on_n2, "n2");
  REQUIRE(await([&] { return c.has_answered("n2"); }));
  const auto reply = c.commands.repair(kApply);
  CHECK(reply.volumes[0].in_doubt);
  CHECK_FALSE(c.raw.get(keys::acted_all("n1")));
}

}  // namespace plexvol::cluster
