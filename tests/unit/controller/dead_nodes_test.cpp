#include "agent/controller/dead_nodes.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

using namespace plexvol;
using controller::DeadNode;
using controller::find_dead_nodes;

namespace {

using Names = std::set<std::string>;

// Of n1, which is down and holds it, and of n2.
api::VolumeInfo stranded_volume(const std::string& name) {
  api::VolumeInfo made;
  made.name = name;
  made.attached_to = "n1";
  api::ReplicaInfo dead;
  dead.node = "n1";
  dead.current = true;
  dead.alive = false;
  api::ReplicaInfo survivor;
  survivor.node = "n2";
  survivor.current = true;
  survivor.alive = true;
  survivor.connection = "Connecting";
  made.replicas = {dead, survivor};
  return made;
}

std::vector<api::NodeInfo> nodes_with(const std::vector<std::string>& alive,
                                      const std::vector<std::string>& dead) {
  std::vector<api::NodeInfo> nodes;
  for (const std::string& name : alive) nodes.emplace_back().name = name, nodes.back().alive = true;
  for (const std::string& name : dead) nodes.emplace_back().name = name;
  return nodes;
}

bool is_dead_after(const std::function<void(api::VolumeInfo&)>& change) {
  api::VolumeInfo volume = stranded_volume("v");
  change(volume);
  return !find_dead_nodes({{"v", volume}}, nodes_with({"n2"}, {"n1"})).empty();
}

}  // namespace

TEST_CASE("a dead node is found by the volumes that others could go on with") {
  api::VolumeInfo moved = stranded_volume("w");
  moved.attached_to = "";
  moved.replicas[0].current = false;
  api::VolumeInfo idle = stranded_volume("x");
  idle.attached_to = "";  // but it counts on the dead copy still
  const auto dead = find_dead_nodes({{"v", stranded_volume("v")}, {"w", moved}, {"x", idle}},
                                    nodes_with({"n2", "n3"}, {"n1"}));
  REQUIRE(dead.size() == 1);
  CHECK(dead.at("n1").held == Names{"v", "x"});
  CHECK(dead.at("n1").moved == Names{"w"});
}

TEST_CASE("a node is not dead while its agent runs, or its copy is connected to another one") {
  CHECK(is_dead_after([](api::VolumeInfo&) {}));
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.replicas[0].alive = true; }));
  CHECK_FALSE(
      is_dead_after([](api::VolumeInfo& volume) { volume.replicas[1].connection = "Connected"; }));
}

TEST_CASE("a volume stays where it is when no other copy could go on with it") {
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.replicas.pop_back(); }));
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.replicas[1].current = false; }));
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.replicas[1].alive = false; }));
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.replicas[1].connection = ""; }));
  CHECK_FALSE(is_dead_after([](api::VolumeInfo& volume) { volume.deleting = true; }));
}

TEST_CASE("half of all leases lost at once is the store's trouble") {
  const std::map<std::string, api::VolumeInfo> volumes{{"v", stranded_volume("v")}};
  CHECK_FALSE(find_dead_nodes(volumes, nodes_with({"n2"}, {"n1"})).empty());
  CHECK_FALSE(find_dead_nodes(volumes, nodes_with({"n2", "n3", "n4"}, {"n1", "n5"})).empty());
  CHECK(find_dead_nodes(volumes, nodes_with({"n2", "n3"}, {"n1", "n4"})).empty());
}

TEST_CASE("nodes that died long before the others are not counted with them") {
  const std::map<std::string, api::VolumeInfo> volumes{{"v", stranded_volume("v")}};
  const auto one = nodes_with({"n1", "n2", "n3"}, {"n4"});
  const auto two = nodes_with({"n2", "n3"}, {"n1", "n4"});
  const base::Clock::time_point begin{std::chrono::hours(1)};
  controller::LongDead long_dead;
  CHECK_FALSE(long_dead.is_trouble_with(one, begin));
  CHECK(long_dead.is_trouble_with(two, begin + std::chrono::seconds(1)));
  CHECK_FALSE(long_dead.is_trouble_with(one, begin + std::chrono::seconds(2)));
  CHECK_FALSE(long_dead.is_trouble_with(
      one, begin + controller::LongDead::kLong + std::chrono::seconds(2)));
  CHECK_FALSE(long_dead.is_trouble_with(two, begin + std::chrono::minutes(6)));
  CHECK(find_dead_nodes(volumes, two, long_dead.names()).contains("n1"));
  // It is back, and is lost with another one.
  CHECK_FALSE(long_dead.is_trouble_with(nodes_with({"n1", "n2", "n3", "n4"}, {}),
                                        begin + std::chrono::minutes(7)));
  CHECK(long_dead.is_trouble_with(two, begin + std::chrono::minutes(8)));
}

TEST_CASE("what was lost together never counts as dead long before") {
  const auto two = nodes_with({"n2", "n3"}, {"n1", "n4"});
  const base::Clock::time_point begin{std::chrono::hours(1)};
  controller::LongDead long_dead;
  for (const auto at :
       {std::chrono::minutes(0), std::chrono::minutes(6), std::chrono::minutes(60)}) {
    CHECK(long_dead.is_trouble_with(two, begin + at));
  }
  CHECK(long_dead.names().empty());
}
