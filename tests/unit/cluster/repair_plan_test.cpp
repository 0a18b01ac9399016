// What is made of a volume after the store was rolled back.
#include "agent/cluster/repair_plan.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/model/codec.h"

using namespace plexvol;           // NOLINT(google-build-using-namespace)
using namespace plexvol::cluster;  // NOLINT(google-build-using-namespace)
using Kind = RepairDecision::Kind;
using Nodes = std::set<std::string>;

namespace {

// Sets 1 to 5 are those of the backup; 6 and what follows came later.
struct PlanCase {
  VolumeKnowledge known;
  RepairTerms terms{.answered = {"n1", "n2"}, .without = {}, .use = {}};
  RepairDecision decision;

  PlanCase() {
    known.name = "v";
    model::Volume volume;
    volume.name = "v";
    volume.id = "id";
    volume.minor = 1000;
    volume.format = model::Format::Done;
    volume.replicas = {{"n1", true}, {"n2", true}};
    known.volume = volume;
    model::Current set;
    set.epoch = 5;
    set.nodes = {"n1", "n2"};
    set.history.changes = {{.epoch = 4, .id = "four"}, {.epoch = 5, .id = "five"}};
    known.current = set;
  }

  // The history that led there; its last change made the set.
  model::Acted& add(const std::string& node, const std::vector<model::SetChange>& changes,
                    const Nodes& nodes) {
    known.words.push_back({.node = node,
                           .acted = {.volume = "v",
                                     .volume_id = "id",
                                     .epoch = changes.back().epoch,
                                     .id = changes.back().id,
                                     .nodes = nodes,
                                     .formatted = true,
                                     .record = model::to_json(*known.volume),
                                     .history = {.changes = changes}}});
    return known.words.back().acted;
  }
  Kind decide() {
    decision = decide_repair(known, terms);
    return decision.kind;
  }
  bool says(const std::string& text) const { return decision.text.find(text) != std::string::npos; }
  // Whether a node that acted on this would follow what is written.
  bool follows(const model::Acted& acted) const {
    return model::find_contradiction(acted, decision.volume, decision.set).empty();
  }
};

const model::SetChange kFour{.epoch = 4, .id = "four"};
const model::SetChange kFive{.epoch = 5, .id = "five"};
const model::SetChange kSix{.epoch = 6, .id = "six"};
const model::SetChange kOtherSix{.epoch = 6, .id = "another six"};
const model::SetChange kSeven{.epoch = 7, .id = "seven"};

}  // namespace

TEST_CASE("repair: what was acted on last counts, and everybody follows it [D19]") {
  PlanCase c;
  const auto old = c.add("n1", {kFour, kFive}, {"n1", "n2"});
  const auto newest = c.add("n2", {kFive, kSix, kSeven}, {"n2"});
  REQUIRE(c.decide() == Kind::Write);
  CHECK(c.decision.set.nodes == Nodes{"n2"});
  CHECK(c.decision.set.epoch == 8);
  CHECK(c.follows(old));
  CHECK(c.follows(newest));
  CHECK(c.says("set 8 {n2}, after n2 acted on set 7 {n2}"));
}

TEST_CASE("repair: a store that has all is kept [D19]") {
  PlanCase c;
  c.add("n1", {kFour, kFive}, {"n1", "n2"});
  c.add("n2", {kFour}, {"n1"});
  CHECK(c.decide() == Kind::Keep);
  c.known.words.clear();
  CHECK(c.decide() == Kind::Keep);
  CHECK(c.says("no node has acted on it"));
}

TEST_CASE("repair: two sets that came without each other are a person's to choose from [D19]") {
  PlanCase c;
  SUBCASE("of one epoch") {
    c.add("n1", {kFive, kOtherSix}, {"n1"});
    c.add("n2", {kFive, kSix}, {"n2"});
  }
  SUBCASE("of which one has gone on") {
    c.add("n1", {kFive, kOtherSix}, {"n1"});
    c.add("n2", {kFive, kSix, kSeven}, {"n2"});
  }
  SUBCASE("and the store with the one that has") {
    c.add("n1", {kFive, kOtherSix, {.epoch = 7, .id = "another seven"}}, {"n1"});
    c.add("n2", {kFive, kSix}, {"n2"});
    c.known.current->epoch = 7;
    c.known.current->nodes = {"n1"};
    c.known.current->history.changes = c.known.words[0].acted.history.changes;
  }
  SUBCASE("the store alone, of which a node knows nothing") {
    c.add("n1", {kFour, kFive}, {"n1", "n2"});
    c.add("n2", {kFive, kSix, kSeven}, {"n2"});
    c.known.current->epoch = 6;
    c.known.current->nodes = {"n1"};
    c.known.current->history.changes = {kFive, kOtherSix};
  }
  REQUIRE(c.decide() == Kind::Doubt);
  CHECK(c.says("--use v=NODE --i-accept-data-loss"));
  CHECK(c.says("another set 6"));
  c.terms.use["v"] = "n2";
  REQUIRE(c.decide() == Kind::Write);
  CHECK(c.decision.set.nodes == Nodes{"n2"});
  for (const Word& word : c.known.words) CHECK(c.follows(word.acted));
  c.terms.use["v"] = "n3";
  CHECK(c.decide() == Kind::Doubt);
}

TEST_CASE("repair: who may know better is waited for, or a person goes on without [D19]") {
  PlanCase c;
  c.add("n2", {kFive, kSix}, {"n2"});
  SUBCASE("of the store's record") {
    c.terms.answered = {"n2"};
    CHECK(c.decide() == Kind::Doubt);
    CHECK(c.says("n1 may know of a newer set"));
    CHECK(c.says("--without NODE"));
    c.terms.use["v"] = "n2";
    CHECK(c.decide() == Kind::Doubt);
    c.terms.use.clear();
    c.terms.without = {"n1"};
  }
  SUBCASE("a replica that was moved there later") {
    model::Volume moved = *c.known.volume;
    moved.replicas = {{"n2", true}, {"n3", true}};
    c.known.words[0].acted.record = model::to_json(moved);
    CHECK(c.decide() == Kind::Doubt);
    CHECK(c.says("n3 may know of a newer set"));
    c.terms.answered.insert("n3");
    CHECK(c.decide() == Kind::Write);
    CHECK(c.decision.volume.find_replica("n3") != nullptr);
    CHECK(c.decision.volume.find_replica("n1") == nullptr);
  }
  CHECK(c.decide() == Kind::Write);
}

TEST_CASE("repair: what was made stays made [D19]") {
  PlanCase c;
  c.add("n1", {kFour, kFive}, {"n1", "n2"});
  c.known.volume->format = model::Format::Started;
  REQUIRE(c.decide() == Kind::Write);
  CHECK(c.decision.volume.format == model::Format::Done);
  CHECK(c.decision.set.nodes == Nodes{"n1", "n2"});
  CHECK(c.follows(c.known.words[0].acted));
  // Also where the newest record is of before it.
  model::Volume before = *c.known.volume;
  auto& acted = c.add("n2", {kFive, kSix}, {"n2"});
  acted.record = model::to_json(before);
  REQUIRE(c.decide() == Kind::Write);
  CHECK(c.decision.volume.format == model::Format::Done);
}

TEST_CASE("repair: an empty store is told again what the nodes have [D19]") {
  PlanCase c;
  c.add("n1", {kFour, kFive}, {"n1", "n2"});
  c.add("n2", {kFive, kSix}, {"n2"});
  const model::Volume volume = *c.known.volume;
  c.known.volume.reset();
  c.known.current.reset();
  SUBCASE("all of them") {
    REQUIRE(c.decide() == Kind::Write);
    CHECK(model::to_json(c.decision.volume) == model::to_json(volume));
    CHECK(c.decision.set.nodes == Nodes{"n2"});
    CHECK(c.says("recorded again"));
    for (const Word& word : c.known.words) CHECK(c.follows(word.acted));
  }
  SUBCASE("one is away") {
    c.known.words.pop_back();
    c.terms.answered = {"n1"};
    CHECK(c.decide() == Kind::Doubt);
  }
  SUBCASE("no record was kept") {
    c.known.words[1].acted.record = "";
    CHECK(c.decide() == Kind::Doubt);
  }
  SUBCASE("two volumes of one name") {
    c.known.words[0].acted.volume_id = "another";
    CHECK(c.decide() == Kind::Doubt);
  }
}

TEST_CASE("repair: a volume that was deleted, and made again after the backup [D19]") {
  PlanCase c;
  c.add("n2", {kFive, kSix}, {"n1", "n2"});
  c.known.volume->id = "that of the backup";
  c.known.current->epoch = 70;
  REQUIRE(c.decide() == Kind::Write);
  CHECK(c.decision.volume.id == "id");
  CHECK(c.decision.set.epoch == 7);
}
