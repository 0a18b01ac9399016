#include "agent/controller/stale_affinity.h"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/controller/paths.h"
#include "tests/support/copies.h"
#include "tests/unit/controller/event_server.h"

namespace plexvol::controller {

using support::good_volume;
using support::take_out;

namespace {

const HostNames kFourNodes{{"n1", "n1"}, {"n2", "n2"}, {"n3", "n3"}, {"n4", "n4"}};

std::string hosts_term(const std::string& hosts) {
  return R"([{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":)" +
         hosts + "}]}]";
}

kube::PersistentVolume pv_with(const std::string& terms, const std::string& phase = "Bound") {
  return kube::from_json<kube::PersistentVolume>(pv_object("data", "data", phase, terms));
}

kube::PersistentVolume pv_naming(const std::string& hosts) {
  return pv_with(hosts_term(hosts));
}

const std::string kMoved =
    "its affinity asks for nodes n1, n2, but the copies are on n1, n3: pods cannot run on n3. An "
    "affinity cannot be changed: replace this PersistentVolume by the output of `plexvol pv data "
    "--claim shop/data`";

}  // namespace

TEST_CASE("stale affinity: a copy has left for a node that is not named") {
  CHECK(find_stale_affinity(pv_naming(R"(["n1","n2"])"), good_volume("data", {"n1", "n3"}),
                            kFourNodes) == kMoved);
  CHECK(find_stale_affinity(pv_naming(R"(["n1","n2"])"), good_volume("data", {"n3", "n4"}),
                            kFourNodes)
            ->starts_with("its affinity asks for nodes n1, n2, but the copies are on n3, n4: pods "
                          "cannot run on n3, n4. "));
}

TEST_CASE(
    "stale affinity: nothing is wrong while each copy's node is named, or each named has one") {
  const api::VolumeInfo volume = good_volume("data", {"n1", "n2"});
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1","n2"])"), volume, kFourNodes));
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1"])"), volume, kFourNodes));
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1","n2","n3"])"), volume, kFourNodes));
}

TEST_CASE("stale affinity: a copy that is away or not complete has not moved") {
  api::VolumeInfo volume = good_volume("data", {"n1", "n2"});
  take_out(volume, 1, 1);
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n2"])"), volume, kFourNodes));
  api::VolumeInfo moving = good_volume("data", {"n1", "n3"});
  moving.replicas[1].current = false;
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1","n2"])"), moving, kFourNodes));
  moving.replicas[1].made = false;
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1","n2"])"), moving, kFourNodes));
}

TEST_CASE("stale affinity: the label of the host counts, not the node's name") {
  const HostNames nodes{{"n1", "host-1"}, {"n2", "host-2"}, {"n3", "host-3"}};
  const api::VolumeInfo volume = good_volume("data", {"n1", "n2"});
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["host-1","host-2"])"), volume, nodes));
  const auto stale = find_stale_affinity(pv_naming(R"(["host-1","host-3"])"), volume, nodes);
  REQUIRE(stale);
  CHECK(stale->starts_with(
      "its affinity asks for nodes n1, n3, but the copies are on n1, n2: pods cannot run on n2. "));
}

TEST_CASE("stale affinity: nodes that are not in the cluster") {
  // The named one has left it.
  const HostNames nodes{{"n1", "n1"}, {"n3", "n3"}};
  CHECK(find_stale_affinity(pv_naming(R"(["n1","n2"])"), good_volume("data", {"n1", "n3"}),
                            nodes) == kMoved);
  // No pod can run there in any case.
  CHECK_FALSE(
      find_stale_affinity(pv_naming(R"(["n1","n2"])"), good_volume("data", {"n1", "n9"}), nodes));
}

TEST_CASE("stale affinity: PVs that do not rest on the names of nodes") {
  const api::VolumeInfo volume = good_volume("data", {"n3", "n4"});
  CHECK_FALSE(find_stale_affinity(pv_with(""), volume, kFourNodes));
  CHECK_FALSE(find_stale_affinity(
      pv_with(R"([{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}])"), volume,
      kFourNodes));
  // One term is enough for a node.
  CHECK_FALSE(find_stale_affinity(
      pv_with(R"([{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In",
                    "values":["n1"]}]},
                  {"matchExpressions":[{"key":"zone","operator":"Exists"}]}])"),
      volume, kFourNodes));
  CHECK_FALSE(find_stale_affinity(pv_with(R"([{"matchExpressions":[
                    {"key":"kubernetes.io/hostname","operator":"In","values":["n1"]},
                    {"key":"volume.plexvol.io/data","operator":"In","values":["copy"]}]}])"),
                                  volume, kFourNodes));
}

TEST_CASE("stale affinity: PVs and volumes that nobody will use") {
  const api::VolumeInfo volume = good_volume("data", {"n3", "n4"});
  CHECK(find_stale_affinity(pv_with(hosts_term(R"(["n1"])"), "Available"), volume, kFourNodes));
  CHECK_FALSE(
      find_stale_affinity(pv_with(hosts_term(R"(["n1"])"), "Released"), volume, kFourNodes));
  kube::PersistentVolume going = pv_naming(R"(["n1"])");
  going.meta.deleted_at = "2026-01-31T11:00:00Z";
  CHECK_FALSE(find_stale_affinity(going, volume, kFourNodes));
  api::VolumeInfo deleting = volume;
  deleting.deleting = true;
  CHECK_FALSE(find_stale_affinity(pv_naming(R"(["n1"])"), deleting, kFourNodes));
}

TEST_CASE("stale affinity: what to do, where the data would go with the PV, and for another name") {
  kube::PersistentVolume owner = pv_naming(R"(["n1"])");
  owner.meta.name = "pv-of-data";
  owner.reclaim_policy = "Delete";
  owner.claim = {};
  const auto stale = find_stale_affinity(owner, good_volume("data", {"n3"}), kFourNodes);
  REQUIRE(stale);
  CHECK(
      stale->ends_with("An affinity cannot be changed: set its reclaim policy to Retain, then "
                       "replace this PersistentVolume by the output of `plexvol pv data "
                       "--pv-name pv-of-data`"));
}

TEST_CASE("stale affinity: of many names the first are told") {
  std::string hosts;
  for (int i = 10; i < 30; ++i) hosts += (hosts.empty() ? "\"h" : ",\"h") + std::to_string(i) + '"';
  const auto stale =
      find_stale_affinity(pv_naming("[" + hosts + "]"), good_volume("data", {"n3"}), kFourNodes);
  REQUIRE(stale);
  CHECK(stale->starts_with(
      "its affinity asks for nodes h10, h11, h12, h13, h14, h15, h16, h17 and 12 more, but"));
}

TEST_CASE("stale affinity: told once for each change, on the PV and its claim") {
  const EventServer server(
      {pv_object("data", "data", "Bound", hosts_term(R"(["n1","n2"])"))},
      {R"({"metadata":{"name":"n1","labels":{"kubernetes.io/hostname":"n1"}}})",
       R"({"metadata":{"name":"n2","labels":{"kubernetes.io/hostname":"n2"}}})",
       R"({"metadata":{"name":"n3","labels":{"kubernetes.io/hostname":"n3"}}})",
       R"({"metadata":{"name":"n4"}})"});
  kube::Client client(server.settings());
  const kube::Cache<kube::PersistentVolume> pvs(client, paths::kVolumes, {});
  const kube::Cache<kube::Node> nodes(client, paths::kNodes, {});
  const base::Deadline deadline = base::Clock::now() + std::chrono::seconds(30);
  REQUIRE(pvs.await_listed(deadline, {}));
  REQUIRE(nodes.await_listed(deadline, {}));
  {
    kube::Events events(client, "plexvol-controller", "c1");
    StaleAffinity stale({.events = events, .volumes = pvs, .nodes = nodes});
    stale.look({{"data", good_volume("data", {"n1", "n2"})}});
    api::VolumeInfo moved = good_volume("data", {"n1", "n3"});
    stale.look({{"data", moved}});
    REQUIRE(server.await_events(2));  // what waits is not counted by a request of its own
    stale.look({{"data", moved}});
    take_out(moved, 1, 1);  // and back
    stale.look({{"data", moved}});
    stale.look({{"data", good_volume("data", {"n1", "n3"})}});
    CHECK_FALSE(stale.is_waiting());
    stale.look({{"data", good_volume("data", {"n1", "n4"})}});
    REQUIRE(server.await_events(4));
  }
  std::string elsewhere = kMoved;
  for (std::size_t at = 0; (at = elsewhere.find("n3", at)) != std::string::npos;) {
    elsewhere.replace(at, 2, "n4");
  }
  const std::string on_pv = "Warning AffinityOutOfDate on PersistentVolume /data uid-data: ";
  const std::string on_claim =
      "Warning AffinityOutOfDate on PersistentVolumeClaim shop/data claim-data: ";
  CHECK(server.events() == std::set<std::string>{on_pv + kMoved, on_claim + kMoved,
                                                 on_pv + elsewhere, on_claim + elsewhere});
  // Told a second time, one is counted by a patch.
  CHECK(server.count_patches() == 0);
}

}  // namespace plexvol::controller
