#include "agent/view/node_status.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "agent/api/error.h"

using namespace plexvol;
using nlohmann::json;
using Kind = view::Wish::Kind;
using Names = std::vector<std::string>;

namespace {

constexpr std::int64_t kNow = 1'769'853'600;  // 2026-01-31T10:00:00Z

api::NodeInfo node_with(const std::string& cordon) {
  api::NodeInfo node;
  node.name = "n1";
  node.alive = true;
  node.address = "10.0.0.1";
  node.version = "0.1.0";
  node.cordon = cordon;
  node.pools = {{.name = "fast",
                 .type = "lvm",
                 .total_bytes = std::uint64_t{100} << 30U,
                 .free_bytes = std::uint64_t{60} << 30U,
                 .error = {}}};
  return node;
}

json status_of(const view::NodeFacts& facts, const std::optional<view::Answer>& answer = {},
               const std::string& before = "") {
  return json::parse(view::node_status(facts, "normal", answer, before, kNow));
}

json condition_of(const json& status, const std::string& type) {
  for (const json& found : status["conditions"]) {
    if (found["type"] == type) return found;
  }
  return {};
}

std::string spec(const std::string& placement) {
  return json{{"placement", placement}}.dump();
}

std::string asked(const std::string& placement) {
  return json{{"placementAsked", placement}}.dump();
}

}  // namespace

TEST_CASE("what kubectl shows of a node") {
  const json status = status_of({node_with(""), {"a", "b"}});
  CHECK(status["state"] == "Up");
  CHECK(status["placement"] == "normal");
  CHECK(status["placementAsked"] == "normal");
  CHECK(status["volumes"] == 2);
  CHECK(status["poolsText"] == "fast 60% of 100Gi free");
  CHECK(condition_of(status, "Ready")["status"] == "True");
  CHECK(condition_of(status, "Drained").is_null());

  api::NodeInfo dead = node_with("");
  dead.alive = false;
  dead.pools[0].error = "vg0 is missing";
  CHECK(status_of({dead, {}})["state"] == "Down");
  CHECK(status_of({dead, {}})["poolsText"] == "fast FAILED");
  CHECK(condition_of(status_of({dead, {}}), "Ready")["reason"] == "AgentDown");
}

TEST_CASE("what is written to a pool changes a status once for each percent") {
  api::NodeInfo node = node_with("");
  const json status = status_of({node, {}});
  node.pools[0].free_bytes += 4'096;
  CHECK(status_of({node, {}}) == status);
}

TEST_CASE("a drain says what is left") {
  CHECK(condition_of(status_of({node_with("draining"), {"a", "b"}}), "Drained")["message"] ==
        "2 still to be moved: a, b; plexvol node drain n1 says why");
  CHECK(condition_of(status_of({node_with("draining"), {}}), "Drained")["status"] == "True");
  const Names many(21, "v");
  const std::string message =
      condition_of(status_of({node_with("draining"), many}), "Drained")["message"];
  CHECK(message.starts_with("21 still to be moved: v, "));
  CHECK(message.find("v, ...; ") != std::string::npos);
}

TEST_CASE("what became of a request stays until the next one") {
  const json refused = status_of({node_with(""), {}}, view::Answer{.done = false, .message = "no"});
  CHECK(condition_of(refused, "RequestDone")["status"] == "False");
  CHECK(condition_of(refused, "RequestDone")["message"] == "no");
  CHECK(status_of({node_with(""), {}}, {}, refused.dump()) == refused);
  const json done =
      status_of({node_with(""), {}}, view::Answer{.done = true, .message = ""}, refused.dump());
  CHECK(condition_of(done, "RequestDone")["status"] == "True");
}

TEST_CASE("a spec that says something new is a request") {
  const view::Wish wish = view::find_wish(spec("draining"), asked("normal"), node_with(""));
  CHECK(wish.kind == Kind::Change);
  CHECK(wish.placement == "draining");
  CHECK(view::find_wish(spec("draining"), asked("draining"), node_with("draining")).kind ==
        Kind::None);
  // Somebody has done it meanwhile.
  CHECK(view::find_wish(spec("draining"), asked("normal"), node_with("draining")).kind ==
        Kind::None);
}

TEST_CASE("a spec follows what was asked for by the command line") {
  const view::Wish wish = view::find_wish(spec("normal"), asked("normal"), node_with("cordoned"));
  CHECK(wish.kind == Kind::FollowUp);
  CHECK(wish.placement == "cordoned");
  // Also after a request was refused.
  CHECK(view::find_wish(spec("draining"), asked("draining"), node_with("")).kind == Kind::FollowUp);
  // And when somebody has emptied it.
  CHECK(view::find_wish("{}", asked("normal"), node_with("")).placement == "normal");
}

TEST_CASE("the spec of an object that nobody has seen to yet is no request") {
  CHECK(view::find_wish(spec("draining"), "{}", node_with("")).kind == Kind::FollowUp);
  CHECK(view::find_wish(spec("normal"), "{}", node_with("")).kind == Kind::None);
}

TEST_CASE("the spec of a node that is being forgotten is left alone") {
  CHECK(view::find_wish(spec("normal"), asked("normal"), node_with("being forgotten")).kind ==
        Kind::None);
}

TEST_CASE("how a node gets where it was asked to be") {
  CHECK(view::actions_for("normal", node_with("draining")) == Names{"uncordon"});
  CHECK(view::actions_for("cordoned", node_with("")) == Names{"cordon"});
  CHECK(view::actions_for("cordoned", node_with("draining")) == Names{"uncordon", "cordon"});
  CHECK(view::actions_for("draining", node_with("cordoned")) == Names{"drain"});
  CHECK_THROWS_AS(view::actions_for("gone", node_with("")), Error);
  CHECK_THROWS_AS(view::actions_for("draining", node_with("being forgotten")), Error);
  CHECK(view::actions_for("normal", node_with("being forgotten")) == Names{"uncordon"});
}
