// A record that nobody can read, among others.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/api/error.h"
#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "agent/store/typed_store.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

namespace {

struct Records {
  support::TemporaryDirectory directory;
  FileStore raw{directory.path()};
  TypedStore store{raw};

  void put(const std::string& key, const std::string& value) {
    REQUIRE(raw.commit({.conditions = {}, .writes = {{key, value}}}));
  }
  template <class T>
  void put_named(const std::string& key, T record) {
    put(key, model::to_json(record));
  }
};

template <class F>
std::string failure_of(F call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
    return error.what();
  }
  return "";
}

model::Volume volume_named(const std::string& name) {
  model::Volume volume;
  volume.name = name;
  return volume;
}

model::Node node_named(const std::string& name) {
  model::Node node;
  node.name = name;
  return node;
}

}  // namespace

TEST_CASE("records: one that nobody can read keeps no list from being read [D6]") {
  Records cluster;
  const std::vector<std::string> garbage = {"volumes/bad",     "nodes/bad",    "current/bad",
                                            "attachments/bad", "cordons/bad",  "status/n1/bad",
                                            "tenants/bad",     "machines/bad", "slots/bad"};
  for (const std::string& key : garbage) cluster.put(key, "{\"name\": 7");
  cluster.put_named("volumes/good", volume_named("good"));
  cluster.put_named("nodes/n1", node_named("n1"));
  cluster.put("slots/7", "good");
  cluster.put("slots-next", "eight");
  const auto volumes = cluster.store.list_volumes();
  REQUIRE(volumes.size() == 1);
  CHECK(volumes[0].name == "good");
  REQUIRE(cluster.store.list_nodes().size() == 1);
  CHECK(cluster.store.list_current().records.empty());
  CHECK(cluster.store.list_attachments().records.empty());
  CHECK(cluster.store.list_status().records.empty());
  CHECK(cluster.store.list_slots() == std::set<unsigned>{7});
  CHECK(cluster.store.find_next_slot().value == 0);
  CHECK(cluster.store.find_next_slot().revision != 0);
  cluster.put("assigned/n1/bad", "id");
  cluster.put("assigned/n1/good", "id");
  REQUIRE(cluster.store.list_volumes_on("n1").size() == 1);
  const auto listing = cluster.store.read_volumes();
  REQUIRE(listing.unreadable.size() == 1);
  CHECK(listing.unreadable[0].key == "volumes/bad");
  CHECK(listing.unreadable[0].name == "bad");
  std::vector<std::string> named;
  for (const Unreadable& unreadable : cluster.store.list_unreadable()) {
    CHECK(
        unreadable.why.starts_with(unreadable.key + ": the record cannot be read: it is not JSON"));
    named.push_back(unreadable.key);
  }
  auto expected = garbage;
  std::erase(expected, "slots/bad");
  std::sort(expected.begin(), expected.end());
  std::sort(named.begin(), named.end());
  CHECK(named == expected);
}

TEST_CASE("records: a single one that nobody can read is an error that names its key [D6]") {
  Records cluster;
  cluster.put("volumes/v", R"({"name": "v"})");
  CHECK(failure_of([&] {
          cluster.store.find_volume("v");
        }).starts_with("volumes/v: the record cannot be read: id is missing;"));
  cluster.put("current/v", R"({"epoch": 1})");
  CHECK(failure_of([&] {
          cluster.store.find_current("v");
        }).starts_with("current/v: the record cannot be read: nodes is missing;"));
  CHECK(failure_of([&] { cluster.store.view_volume("v", "n1"); }).starts_with("volumes/v: "));
  cluster.put_named("volumes/other", volume_named("v"));
  CHECK(failure_of([&] { cluster.store.find_volume("other"); }).find("record of \"v\"") !=
        std::string::npos);
}

TEST_CASE("records: a cordon that nobody can read is a cordon all the same [D6]") {
  Records cluster;
  cluster.put("cordons/n1", "?");
  const auto cordons = cluster.store.list_cordons();
  REQUIRE(cordons.contains("n1"));
  CHECK_FALSE(cordons.at("n1").drain);
  CHECK_FALSE(cordons.at("n1").forget);
}

TEST_CASE("records: what the others say unreadably leaves a volume's view whole [D6]") {
  Records cluster;
  model::Volume volume = volume_named("v");
  volume.minor = 1000;
  volume.replicas = {{"n1", true, false}, {"n2", true, false}};
  cluster.put_named("volumes/v", volume);
  cluster.put_named("current/v",
                    model::Current{.epoch = 1, .nodes = {"n1", "n2"}, .left = {}, .forced = {}});
  cluster.put("nodes/n2", "?");
  cluster.put("status/n2/v", "?");
  cluster.put("status/n1/v", "?");
  const VolumeView view = cluster.store.view_volume("v", "n1");
  REQUIRE(view.volume);
  CHECK_FALSE(view.status);
  CHECK_FALSE(view.nodes.at("n2").node);
  CHECK_FALSE(view.nodes.at("n2").status);
}

}  // namespace plexvol::store
