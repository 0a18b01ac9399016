#include <doctest/doctest.h>

#include "tests/unit/service/service_node.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::service;  // NOLINT(google-build-using-namespace)
namespace keys = store::keys;
using Nodes = std::set<std::string>;

namespace {

// The copies are on n1, which has died, and on n3, which it was to fill; n2 has a former one.
struct Case : ServiceNode {
  explicit Case(const Nodes& current) {
    model::Volume volume = new_volume();
    volume.replicas[1] = {"n3", true, true};
    volume.former = {"n2"};
    put(keys::volume("v"), model::to_json(volume));
    put(keys::current("v"), model::to_json(model::Current{4, current, {}, {}}));
  }
  void force(const std::string& node) {
    service.force_current({.name = "v", .node = node, .accept_data_loss = true, .by = "me"});
  }
};

}  // namespace

TEST_CASE("force-current: a copy that was replaced can be used while the new one is not whole") {
  Case test({"n1"});
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
  Case test({"n1", "n3"});
  CHECK_THROWS_AS(test.force("n2"), Error);
  CHECK(test.store.find_current("v")->value.epoch == 4);
  CHECK(test.store.find_volume("v")->value.former == Nodes{"n2"});
}

TEST_CASE("force-current: a node that never had a copy has none to be used") {
  Case test({"n1"});
  CHECK_THROWS_AS(test.force("n4"), Error);
  CHECK(test.store.find_current("v")->value.nodes == Nodes{"n1"});
}
