#include "agent/placement/placement.h"

#include <doctest/doctest.h>

using namespace plexvol;             // NOLINT(google-build-using-namespace)
using namespace plexvol::placement;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint64_t kGi = 1ULL << 30;

model::Node node(const std::string& name, std::uint64_t free_gi, const std::string& pool = "p") {
  return {.name = name,
          .address = "10.0.0.1",
          .version = "1",
          .drbd_version = "8.4.11",
          .mirror_error = "",
          .pools = {{pool, "lvm", 100 * kGi, free_gi * kGi, ""}}};
}

// For one copy without DRBD, or for two with it.
PlacementRequest for_copies(unsigned replicas, std::uint64_t size_bytes = kGi) {
  PlacementRequest request;
  request.size_bytes = size_bytes;
  request.replicas = replicas;
  request.mirrored = replicas > 1;
  return request;
}

PlacementRequest on_nodes(PlacementRequest request, const std::vector<std::string>& nodes) {
  request.nodes = nodes;
  return request;
}

std::string refusal(const PlacementRequest& request, const std::vector<model::Node>& nodes,
                    const std::set<std::string>& alive) {
  try {
    place(request, nodes, alive);
  } catch (const Error& error) {
    return std::string(to_text(error.code())) + ": " + error.what();
  }
  return "placed";
}

}  // namespace

TEST_CASE("placement: the asking node first, then those with most free space") {
  const std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  const std::set<std::string> alive{"n1", "n2", "n3"};
  PlacementRequest request = for_copies(2);
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n2", "n3"});
  request.asking = "n1";
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n1", "n2"});
  CHECK(place(request, nodes, {"n1", "n3"}).nodes == std::vector<std::string>{"n1", "n3"});
  request.nodes = {"n3", "n1"};
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n3", "n1"});
}

TEST_CASE("placement: a refusal says what was found on which node") {
  const PlacementRequest request = for_copies(2, 15 * kGi);
  std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  nodes[2].drbd_version = "8.4.3";
  CHECK(
      refusal(request, nodes, {"n1", "n2", "n3"}) ==
      "OutOfSpace: only 1 of the 2 nodes needed can take a replica of 15Gi in pool p (n1: its pool "
      "p has only 10Gi free; n3: its drbd module is 8.4.3, but two replicas need 8.4.4 or later)");
  CHECK(refusal(on_nodes(for_copies(1), {"nx"}), nodes, {"n1"}) ==
        "NotFound: no node named nx; there are: n1, n2, n3");
  PlacementRequest of_another_pool = for_copies(1);
  of_another_pool.pool = "q";
  CHECK(refusal(of_another_pool, nodes, {"n1"}) ==
        "NotFound: no node has a pool named q; there are: p");
  CHECK(refusal(on_nodes(for_copies(1), {"n2"}), nodes, {"n1"}) ==
        "Unavailable: node n2 cannot take a replica of 1Gi: its agent is not running");
  CHECK(refusal(on_nodes(for_copies(2), {"n2"}), nodes, {"n2"}) ==
        "InvalidArgument: 2 replicas, but 1 nodes are named");
}

TEST_CASE("placement: the node that must have a copy gets one, before the one that asks") {
  const std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  const std::set<std::string> alive{"n1", "n2", "n3"};
  PlacementRequest request = for_copies(2);
  request.first_node = "n1";
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n1", "n2"});
  request.asking = "n3";
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n1", "n3"});
  CHECK(place(on_nodes(request, {"n3", "n1"}), nodes, alive).nodes ==
        std::vector<std::string>{"n3", "n1"});
}

TEST_CASE("placement: the node that must have a copy and cannot is named, with its own reason") {
  std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20),
                                 node("n4", 50, "q")};
  nodes[2].drbd_version = "";
  const std::set<std::string> alive{"n1", "n2", "n3", "n4"};
  PlacementRequest request = for_copies(2, 15 * kGi);
  request.pool = "p";
  request.volume = "v";
  request.barred = {{"n2", "it is cordoned"}};
  const auto refused = [&](const std::string& first) {
    request.first_node = first;
    return refusal(request, nodes, first == "n5" ? std::set<std::string>{"n1"} : alive);
  };
  const std::string cannot = "cannot have a copy of volume v: ";
  CHECK(refused("n1") == "OutOfSpace: node n1 " + cannot + "its pool p has only 10Gi free");
  CHECK(refused("n2") == "OutOfSpace: node n2 " + cannot + "it is cordoned");
  CHECK(refused("n3") == "OutOfSpace: node n3 " + cannot + "its kernel module drbd is not loaded");
  CHECK(refused("n4") == "OutOfSpace: node n4 " + cannot + "it has no pool p");
  CHECK(refused("n9") == "OutOfSpace: node n9 " + cannot +
                             "no node of this name is known; there are: n1, n2, n3, n4");
  nodes.push_back(node("n5", 50));
  CHECK(refused("n5") == "OutOfSpace: node n5 " + cannot + "its agent is not running");
  // What is no reason of this node's is said as without it.
  request.pool = "r";
  CHECK(refused("n1") == "NotFound: no node has a pool named r; there are: p, q");
  request.pool = "p";
  request.barred["n5"] = "it is cordoned";
  request.size_bytes = kGi;
  CHECK(refused("n1").find("OutOfSpace: only 1 of the 2 nodes needed") == 0);
}

TEST_CASE("placement: what is promised on the node that must have a copy is not free there") {
  const std::vector<model::Node> nodes{node("n1", 10), node("n2", 30)};
  PlacementRequest request = for_copies(1, 8 * kGi);
  request.first_node = "n1";
  request.volume = "v";
  try {
    place_within_promises(request, nodes, {"n1", "n2"}, [](const std::string&) {
      return Promises{{"p", {.bytes = 5 * kGi, .unmade_bytes = 5 * kGi}}};
    });
    FAIL("there is no room");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("node n1 cannot have a copy of volume v: ") == 0);
  }
}

TEST_CASE("placement: another first node is asked for only when the copies have room with one") {
  std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  const std::set<std::string> alive{"n1", "n2", "n3"};
  std::map<std::string, Promises> promised;
  PlacementRequest request = for_copies(2, 15 * kGi);
  request.volume = "v";
  const auto refused = [&](const std::string& first) {
    request.first_node = first;
    try {
      place_within_promises(request, nodes, alive,
                            [&](const std::string& name) { return promised[name]; });
    } catch (const Error& error) {
      return std::string(to_text(error.code())) + ": " + error.what();
    }
    return std::string("placed");
  };
  const std::string too_small = "its pool p has only 10Gi free";
  CHECK(refused("n2") == "placed");
  CHECK(refused("n1") == "OutOfSpace: node n1 cannot have a copy of volume v: " + too_small);
  // n2 can have a copy, and nobody the other one: as with any first node.
  nodes[2] = node("n3", 10);
  const std::string nowhere =
      "Unavailable: only 1 of the 2 nodes needed can take a replica of 15Gi in pool p (n1, n3: " +
      too_small + ")";
  CHECK(refused("n2") == nowhere);
  CHECK(refused("n1") == nowhere);
  // What is promised counts for the other nodes, too.
  nodes[2] = node("n3", 20);
  promised["n3"]["p"] = {.bytes = 10 * kGi, .unmade_bytes = 10 * kGi};
  CHECK(refused("n1").starts_with("Unavailable: only 1 of the 2 nodes needed"));
  // What keeps the first node from having a copy is its generation of DRBD.
  promised.clear();
  nodes[0] = node("n1", 20);
  CHECK(refused("n1") == "placed");
  nodes[0].drbd_version = "9.1.7";
  CHECK(refused("n1") ==
        "OutOfSpace: only 1 of the 2 nodes needed can take a replica of 15Gi in pool p (n2, n3: "
        "its DRBD is 8.4.11, but that of the other replica's node is 9.1.7)");
  nodes[2].drbd_version = "";
  CHECK(refused("n1").starts_with("Unavailable: only 1 of the 2 nodes needed"));
  request.size_bytes = 50 * kGi;
  CHECK(refused("n1").starts_with("Unavailable: no node can take a replica of 50Gi in pool p ("));
}

TEST_CASE("placement: the pool need not be named when there is one, or one called default") {
  const std::set<std::string> alive{"n1", "n2"};
  const PlacementRequest request = for_copies(1);
  CHECK(place(request, {node("n1", 5)}, alive).pool == "p");
  CHECK(place(request, {node("n1", 5), node("n2", 5, "default")}, alive).pool == "default");
  CHECK(refusal(request, {node("n1", 5), node("n2", 5, "q")}, alive)
            .find("no pool was named; there are: ") != std::string::npos);
}

TEST_CASE("placement: DRBD before 8.4.4 is refused for two replicas") {
  for (const char* good : {"8.4.4", "8.4.11", "9.2.1"}) CHECK(why_no_mirror(good).empty());
  for (const char* bad : {"", "8.4.3", "8.3.16", "8.0.0", "nonsense"}) {
    CHECK_FALSE(why_no_mirror(bad).empty());
  }
}

TEST_CASE("placement: the copies of a volume are of one generation of DRBD") {
  std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  nodes[0].drbd_version = "9.1.7";
  nodes[2].drbd_version = "9.2.4";
  const std::set<std::string> alive{"n1", "n2", "n3"};
  PlacementRequest request = for_copies(2);
  request.asking = "n1";
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n1", "n3"});
  const std::string refused = refusal(on_nodes(request, {"n1", "n2"}), nodes, alive);
  CHECK_MESSAGE(
      refused.ends_with("its DRBD is 8.4.11, but that of the other replica's node is 9.1.7"),
      refused);
  // One that not enough nodes have is no hindrance for the others.
  nodes[2].drbd_version = "8.4.10";
  CHECK(place(request, nodes, alive).nodes == std::vector<std::string>{"n2", "n3"});
  PlacementRequest replacement = for_copies(1);
  replacement.mirrored = true;
  replacement.drbd = "8.4.10";
  CHECK(place(replacement, nodes, {"n1", "n2"}).nodes == std::vector<std::string>{"n2"});
}

TEST_CASE("placement: a node where the kernel cannot ask the driver gets no mirrored copy") {
  std::vector<model::Node> nodes{node("n1", 10), node("n2", 30)};
  nodes[1].mirror_error = "DRBD's usermode_helper cannot be set";
  const std::set<std::string> alive{"n1", "n2"};
  const std::string refused = refusal(for_copies(2), nodes, alive);
  CHECK_MESSAGE(refused.find("n2: DRBD's usermode_helper cannot be set") != std::string::npos,
                refused);
  CHECK(place(for_copies(1), nodes, alive).nodes == std::vector<std::string>{"n2"});
}

TEST_CASE("placement: what is promised and not made yet is not free [D16]") {
  const std::vector<model::Node> nodes{node("n1", 10), node("n2", 6)};
  const std::set<std::string> alive{"n1", "n2"};
  PlacementRequest request = for_copies(1, 5 * kGi);
  CHECK(place(request, nodes, alive).nodes.front() == "n1");
  request.promised["n1"]["p"] = {.bytes = 6 * kGi, .unmade_bytes = 6 * kGi};
  CHECK(place(request, nodes, alive).nodes.front() == "n2");
  request.promised["n2"]["p"] = {.bytes = 2 * kGi, .unmade_bytes = 2 * kGi};
  CHECK(refusal(request, nodes, alive) ==
        "OutOfSpace: no node can take a replica of 5Gi in pool p (n1, n2: its pool p has only 4Gi "
        "free besides what is promised to volumes that are being created)");
  // In another pool.
  request.promised["n1"] = {{"q", {.bytes = 90 * kGi, .unmade_bytes = 90 * kGi}}};
  CHECK(place(request, nodes, alive).nodes.front() == "n1");
}

TEST_CASE("placement: what was made since the free bytes were measured is not free [O10]") {
  const std::vector<model::Node> nodes{node("n1", 100)};
  PlacementRequest request = for_copies(1, 5 * kGi);
  request.promised["n1"]["p"] = {.bytes = 96 * kGi, .unmade_bytes = 0};
  CHECK(refusal(request, nodes, {"n1"}).find("n1: its pool p has only 4Gi free)") !=
        std::string::npos);
}

TEST_CASE("placement: a pool that fills up as it is written to promises as much as it may [O10]") {
  std::vector<model::Node> nodes{node("n1", 100)};
  nodes[0].pools[0].type = "lvm-thin";
  PlacementRequest request = for_copies(1, 20 * kGi);
  request.promised["n1"]["p"] = {.bytes = 90 * kGi, .unmade_bytes = 90 * kGi};
  CHECK(place(request, nodes, {"n1"}).nodes.front() == "n1");
  nodes[0].pools[0].max_promised_percent = 110;
  CHECK(place(request, nodes, {"n1"}).nodes.front() == "n1");
  nodes[0].pools[0].max_promised_percent = 109;
  CHECK(refusal(request, nodes, {"n1"})
            .find("(n1: 90% of its pool p is already promised to volumes (90Gi of 100Gi), and "
                  "max_promised_percent is 109)") != std::string::npos);
}

TEST_CASE("placement: a mirrored copy needs room for DRBD's metadata as well [O10]") {
  std::vector<model::Node> nodes{node("n1", 5), node("n2", 5)};
  CHECK(place(for_copies(1, 5 * kGi), nodes, {"n1"}).nodes.front() == "n1");
  CHECK(refusal(for_copies(2, 5 * kGi), nodes, {"n1", "n2"}).find("OutOfSpace") == 0);
}

TEST_CASE("placement: promises are asked only of nodes that would be chosen [O10]") {
  const std::vector<model::Node> nodes{node("n1", 10), node("n2", 30), node("n3", 20)};
  std::vector<std::string> asked;
  const auto placed = place_within_promises(
      for_copies(1, 8 * kGi), nodes, {"n1", "n2", "n3"}, [&](const std::string& name) {
        asked.push_back(name);
        Promises promises;
        if (name == "n2") promises["p"] = {.bytes = 25 * kGi, .unmade_bytes = 25 * kGi};
        return promises;
      });
  CHECK(placed.nodes == std::vector<std::string>{"n3"});
  CHECK(asked == std::vector<std::string>{"n2", "n3"});
}

TEST_CASE("placement: all copies are promises, of a former one too, and by pool [O10]") {
  std::vector<model::Volume> volumes(3);
  volumes[0].pool = "p";
  volumes[0].size_bytes = kGi;
  volumes[0].replicas = {{"n1", true}};
  volumes[1] = volumes[0];
  volumes[1].replicas = {{"n1", false}, {"n2", true}};
  volumes[1].former = {"n3"};
  volumes[2] = volumes[0];
  volumes[2].pool = "q";
  volumes[2].minor = 1000;
  const auto promises = list_promises(volumes);
  CHECK(promises.at("n1").at("p").bytes == 2 * kGi);
  CHECK(promises.at("n1").at("p").unmade_bytes == kGi);
  CHECK(promises.at("n1").at("q").bytes == kGi + (4ULL << 20));
  CHECK(promises.at("n2").at("p").unmade_bytes == 0);
  CHECK(promises.at("n3").at("p").bytes == kGi);
  CHECK(promises_of("n3", volumes).at("p").bytes == kGi);
  CHECK(promises_of("n4", volumes).empty());
  CHECK(percent_text(25, 10) == "250%");
  CHECK(percent_text(25, 0) == "0%");
}
