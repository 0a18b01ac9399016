#include "agent/volumes/fail_over.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string>

#include "tests/unit/volumes/quiet_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::volumes;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;

namespace {

using CurrentNodes = std::set<std::string>;

// A volume of n1 and n2, attached to n1, whose agent has lost its lease. n3 is asked.
struct DeadNode : QuietNode {
  model::Status survivor;

  DeadNode() {
    model::Attachment held;
    held.node = "n1";
    held.names = {"pv"};
    survivor.session = "s2";
    survivor.disk_state = "UpToDate";
    survivor.connection = "Connecting";
    store.commit(store::Change()
                     .put(keys::volume("v"), model::to_json(new_volume()))
                     .put(keys::attachment("v"), model::to_json(held))
                     .put(keys::name("n1", "pv"), "v")
                     .put(keys::alive("n2"), "s2")
                     .put(keys::alive("n3"), "s"));
    put_set({"n1", "n2"});
    put_survivor();
  }
  void put_set(const CurrentNodes& nodes) {
    put(keys::current("v"), model::to_json(model::Current{4, nodes, {}, {}}));
  }
  void put_survivor() { put(keys::status("n2", "v"), model::to_json(survivor)); }
  CurrentNodes set() { return store.find_current("v")->value.nodes; }
  void fail_over() { volumes::fail_over(store, arbiter, use_cases.releases, "v", "n1"); }
};

// Nothing may have changed.
std::string refusal_after(const std::function<void(DeadNode&)>& change) {
  DeadNode test;
  change(test);
  const auto before = test.raw.list("");
  try {
    test.fail_over();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    const auto after = test.raw.list("");
    REQUIRE(before.size() == after.size());
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(before[i].revision == after[i].revision);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("fail-over: the dead node's attachment and its copy go in one step") {
  DeadNode test;
  test.fail_over();
  CHECK_FALSE(test.store.find_attachment("v"));
  CHECK_FALSE(test.store.find_named("n1", "pv"));
  CHECK(test.set() == CurrentNodes{"n2"});
  CHECK(test.store.find_current("v")->value.epoch == 5);
  // Asked again, it changes nothing.
  const auto revision = test.store.find_current("v")->revision;
  test.fail_over();
  CHECK(test.store.find_current("v")->revision == revision);
}

TEST_CASE("fail-over: not while the node's agent holds its lease") {
  CHECK(refusal_after([](DeadNode& test) { test.put(keys::alive("n1"), "s1"); }) ==
        "volume v: the agent of n1 runs");
}

TEST_CASE("fail-over: not unless another copy counts, is up, and has lost the node") {
  const std::string none =
      "volume v: no other current copy is up and has lost its connection to n1: the node may be "
      "running, or its copy is the only one";
  const auto refused = [&](const std::function<void(DeadNode&)>& change) {
    return refusal_after([&](DeadNode& test) {
             change(test);
             test.put_survivor();
           }) == none;
  };
  CHECK(refused([](DeadNode& test) { test.survivor.connection = "Connected"; }));
  CHECK(refused([](DeadNode& test) { test.survivor.connection = ""; }));
  CHECK(refused([](DeadNode& test) { test.survivor.disk_state = "Inconsistent"; }));
  CHECK(refused([](DeadNode& test) { test.survivor.session = "of a former agent"; }));
  CHECK(refused([](DeadNode& test) { test.put_set({"n1"}); }));
  CHECK(refused(
      [](DeadNode& test) { test.store.commit(store::Change().remove(keys::alive("n2"))); }));
}

TEST_CASE("fail-over: not of a volume that is attached to another node") {
  CHECK(refusal_after([](DeadNode& test) {
          model::Attachment held;
          held.node = "n2";
          test.put(keys::attachment("v"), model::to_json(held));
        }) == "volume v: it is attached to n2, not to n1");
}

TEST_CASE("fail-over: a volume that nobody has attached loses the dead node's copy alone") {
  DeadNode test;
  test.store.commit(store::Change().remove(keys::attachment("v")));
  test.fail_over();
  CHECK(test.set() == CurrentNodes{"n2"});
}
