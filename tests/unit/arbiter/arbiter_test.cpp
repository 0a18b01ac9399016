#include "agent/arbiter/arbiter.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "agent/model/codec.h"
#include "agent/store/file_store.h"
#include "tests/support/temporary_directory.h"

using plexvol::Error;
using plexvol::ErrorCode;
using plexvol::arbiter::Arbiter;
using plexvol::arbiter::Verdict;
using plexvol::model::Current;
using plexvol::store::Change;
using plexvol::store::FileStore;
using plexvol::store::TypedStore;
using plexvol::support::TemporaryDirectory;
namespace keys = plexvol::store::keys;
using Nodes = std::set<std::string>;

namespace {

struct Case {
  TemporaryDirectory directory;
  FileStore raw{directory.path()};
  TypedStore store{raw};
  plexvol::store::ActedSets acted{directory.path() / "acted"};
  Arbiter arbiter{store, acted};
  plexvol::model::Volume volume;

  explicit Case(const Nodes& nodes) {
    volume.name = "v";
    volume.id = "an-id";
    store.commit(Change().put(
        keys::current("v"),
        plexvol::model::to_json(Current{.epoch = 1, .nodes = nodes, .left = {}, .forced = {}})));
  }
  Current current() { return store.find_current("v")->value; }
  std::int64_t revision() { return store.find_current("v")->revision; }
  Verdict take_out(const std::string& asker, const std::string& other) {
    return arbiter.take_out(volume, asker, other, "a test");
  }
};

}  // namespace

TEST_CASE("arbiter: of two that ask for each other, the second has lost") {
  Case c({"n1", "n2"});
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK(c.current().nodes == Nodes{"n1"});
  CHECK(c.take_out("n2", "n1") == Verdict::Lost);
  CHECK(c.current().nodes == Nodes{"n1"});
  CHECK(c.arbiter.counts().won == 1);
  CHECK(c.arbiter.counts().lost == 1);
}

TEST_CASE("arbiter: every win raises the epoch, also one that changes nothing, and every loss") {
  Case c({"n1"});
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK(c.current().epoch == 2);
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK(c.current().epoch == 3);
  CHECK(c.take_out("n2", "n1") == Verdict::Lost);
  CHECK(c.current().epoch == 4);
  CHECK(c.current().nodes == Nodes{"n1"});
}

TEST_CASE("arbiter: a node is put back only if nothing has happened since it was looked at") {
  Case c({"n1"});
  const std::int64_t seen = c.revision();
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK_FALSE(c.arbiter.put_back("v", seen, "n2"));
  CHECK(c.current().nodes == Nodes{"n1"});
  CHECK(c.arbiter.put_back("v", c.revision(), "n2"));
  CHECK(c.current().nodes == Nodes{"n1", "n2"});
  CHECK(c.arbiter.counts().put_back == 1);
  CHECK(c.arbiter.counts().put_back_too_late == 1);
}

TEST_CASE("arbiter: two nodes whose disks fail cannot both leave the set") {
  Case c({"n1", "n2"});
  CHECK(c.take_out("n2", "n1") == Verdict::Won);   // n1 leaves, in n2's name
  CHECK(c.take_out("n1", "n2") == Verdict::Lost);  // n2 leaves, in n1's name
  CHECK(c.current().nodes == Nodes{"n2"});
}

TEST_CASE("arbiter: without a set nobody wins") {
  Case c({"n1"});
  try {
    plexvol::model::Volume other;
    other.name = "other";
    other.id = "another-id";
    c.arbiter.take_out(other, "n1", "n2", "a test");
    FAIL("it did not throw");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::NotFound);
  }
  CHECK(c.arbiter.counts().unanswered == 1);
}

TEST_CASE("arbiter: it is known which volumes the kernel asks about") {
  Case c({"n1"});
  CHECK_FALSE(c.arbiter.is_asked_about("v"));
  {
    const Arbiter::Question first(c.arbiter, "v");
    {
      const Arbiter::Question second(c.arbiter, "v");
      CHECK(c.arbiter.is_asked_about("v"));
    }
    CHECK(c.arbiter.is_asked_about("v"));
    CHECK_FALSE(c.arbiter.is_asked_about("w"));
  }
  CHECK_FALSE(c.arbiter.is_asked_about("v"));
}

TEST_CASE("arbiter: what a person forces counts until a copy is put back, and stays recorded") {
  Case c({"n1"});
  const Current::Forced chosen{.node = "n2", .at = 7, .by = "root on n3", .disk_state = "Outdated"};
  const std::int64_t seen = c.revision();
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK_FALSE(c.arbiter.force("v", seen, chosen));
  CHECK(c.arbiter.force("v", c.revision(), chosen));
  Current forced = c.current();
  CHECK(forced.nodes == Nodes{"n2"});
  CHECK(forced.epoch == 3);
  REQUIRE(forced.forced.has_value());
  CHECK(forced.forced->node == "n2");
  CHECK(forced.forced->by == "root on n3");
  CHECK(forced.left.contains("n1"));
  CHECK_FALSE(forced.left.contains("n2"));
  CHECK(c.take_out("n1", "n2") == Verdict::Lost);
  CHECK(c.take_out("n2", "n1") == Verdict::Won);
  CHECK(c.current().forced.has_value());
  CHECK(c.arbiter.put_back("v", c.revision(), "n1"));
  CHECK_FALSE(c.current().forced.has_value());
  REQUIRE(c.current().last_forced.has_value());
  CHECK(c.current().last_forced->by == "root on n3");
  CHECK(c.current().left.empty());
  CHECK(c.arbiter.counts().forced == 1);
  CHECK(to_text(c.arbiter.counts()) ==
        "2 won, 1 lost, 0 without an answer from the store; put back 1, too late 0; forced 1");
}

TEST_CASE("arbiter: when a copy was taken out is remembered, and not renewed") {
  Case c({"n1", "n2"});
  c.take_out("n1", "n2");
  const auto first = c.current().left;
  CHECK(first.contains("n2"));
  c.take_out("n1", "n2");
  CHECK(c.current().left == first);
}

TEST_CASE("arbiter: each change of a set has an id in its history [D19]") {
  Case c({"n1", "n2"});
  const auto derived = c.current().history.changes;
  REQUIRE(derived.size() == 1);
  CHECK(derived[0].epoch == 1);
  CHECK(c.current().history.changes == derived);  // whoever reads it, and however often
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  CHECK(c.arbiter.put_back("v", c.revision(), "n2"));
  CHECK(c.arbiter.force("v", c.revision(), {"n1", 7, "root on n3", "Diskless"}));
  CHECK(c.arbiter.use_forced("v", c.revision()));
  CHECK(c.arbiter.take_out_with("v", *c.store.find_current("v"), "n2", "a test", {}));
  const auto changes = c.current().history.changes;
  REQUIRE(changes.size() == 6);
  CHECK(changes[0] == derived[0]);
  std::set<std::string> ids;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CHECK(changes[i].epoch == i + 1);
    ids.insert(changes[i].id);
  }
  CHECK(ids.size() == changes.size());
  for (std::size_t i = 0; i < plexvol::model::kMaxHistory; ++i) c.take_out("n1", "n2");
  CHECK(c.current().history.changes.size() == plexvol::model::kMaxHistory);
  CHECK(c.current().history.changes.back().epoch == c.current().epoch);
}

TEST_CASE("arbiter: a change by an agent of 0.1.0, which writes no history [D19]") {
  Case c({"n1", "n2"});
  c.take_out("n1", "n2");
  const auto before = c.current();
  Current next = before;
  next.nodes = {"n1", "n2"};
  ++next.epoch;
  c.store.commit(Change().put(keys::current("v"), plexvol::model::to_json(next)));
  const auto changes = c.current().history.changes;
  REQUIRE(changes.size() == 3);
  CHECK(changes[1] == before.history.changes[1]);
  CHECK(changes[2].epoch == 3);
  c.take_out("n1", "n2");
  CHECK(c.current().history.changes[2] == changes[2]);  // now it is written down
  // The volume was removed by such an agent, and made again.
  c.store.commit(Change().put(
      keys::current("v"),
      plexvol::model::to_json(Current{.epoch = 1, .nodes = {"n1"}, .left = {}, .forced = {}})));
  CHECK(c.current().history.changes.size() == 1);
  CHECK(c.current().history.changes[0].epoch == 1);
}

TEST_CASE("arbiter: who wins has it on disk, and an old backup does not answer him [D19]") {
  Case c({"n1", "n2"});
  const auto backup = c.raw.get(keys::current("v"))->value;
  const auto restore = [&] {
    c.store.commit(Change().put(keys::current("v"), backup).remove(keys::history("v")));
  };
  CHECK(c.take_out("n1", "n2") == Verdict::Won);
  REQUIRE(c.acted.find("an-id"));
  CHECK(c.acted.find("an-id")->epoch == 2);
  CHECK(c.acted.find("an-id")->nodes == Nodes{"n1"});
  restore();
  CHECK_THROWS_AS(c.take_out("n1", "n2"), Error);
  CHECK(c.current().epoch == 1);
  // n2 has won in the old one: the epoch alone says nothing.
  plexvol::store::ActedSets theirs(c.directory.path() / "theirs");
  Arbiter other(c.store, theirs);
  CHECK(other.take_out(c.volume, "n2", "n1", "a test") == Verdict::Won);
  CHECK(c.current().epoch == 2);
  try {
    c.take_out("n1", "n2");
    FAIL("it was answered");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Conflict);
    CHECK(std::string(error.what()).find("plexvol store repair") != std::string::npos);
  }
  CHECK(c.current().epoch == 2);
}
