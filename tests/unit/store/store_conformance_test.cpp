// What every store does, run against each of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/error.h"
#include "agent/store/etcd_store.h"
#include "agent/store/file_store.h"
#include "tests/support/change_recorder.h"
#include "tests/support/etcd_process.h"
#include "tests/support/store_calls.h"
#include "tests/support/temporary_directory.h"

namespace plexvol::store {

using support::put;

using support::ChangeRecorder;

namespace {

class FileWorld {
 public:
  static bool is_available() { return true; }
  static std::string kind() { return "embedded"; }
  Store& store() { return store_; }

 private:
  support::TemporaryDirectory directory_;
  FileStore store_{directory_.path()};
};

class EtcdWorld {
 public:
  static bool is_available() { return support::EtcdProcess::is_available(); }
  static std::string kind() { return "etcd"; }
  Store& store() { return store_; }

 private:
  static EtcdSettings settings() {
    static std::atomic<int> worlds = 0;
    EtcdSettings settings = support::shared_etcd().settings();
    settings.key_prefix = "/world" + std::to_string(++worlds) + "/";
    return settings;
  }
  EtcdStore store_{settings()};
};

std::string value_of(Store& store, const std::string& key) {
  const std::optional<Entry> entry = store.get(key);
  return entry ? entry->value : "(absent)";
}

std::int64_t revision_of(Store& store, const std::string& key) {
  const std::optional<Entry> entry = store.get(key);
  return entry ? entry->revision : 0;
}

std::vector<std::string> keys_of(const std::vector<Entry>& entries) {
  std::vector<std::string> keys;
  keys.reserve(entries.size());
  for (const Entry& entry : entries) keys.push_back(entry.key);
  return keys;
}

void check_refused(Store& store, const Transaction& transaction) {
  try {
    store.commit(transaction);
    FAIL("was not refused");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::Internal);
  }
}

}  // namespace

#define WORLD_CASE(name) TEST_CASE_TEMPLATE(name, World, FileWorld, EtcdWorld)

#define REQUIRE_WORLD()               \
  if (!World::is_available()) return; \
  World world;                        \
  Store& store = world.store()

WORLD_CASE("store: what was written is read back byte for byte") {
  REQUIRE_WORLD();
  CHECK(store.kind() == World::kind());
  CHECK_FALSE(store.get("volumes/v1"));
  const std::string odd("line\nrecord 1 2 3\n\0\xff \"x\"", 24);
  CHECK(put(store, "volumes/v1", odd));
  CHECK(put(store, "volumes/v2", ""));
  const std::string large(200'000, 'x');
  CHECK(put(store, "volumes/v3", large));
  const std::optional<Entry> entry = store.get("volumes/v1");
  REQUIRE(entry);
  CHECK(entry->key == "volumes/v1");
  CHECK(entry->value == odd);
  CHECK(entry->revision > 0);
  CHECK(value_of(store, "volumes/v2").empty());
  CHECK(value_of(store, "volumes/v3") == large);
  CHECK_FALSE(store.get("volumes/v"));
}

WORLD_CASE("store: keys that are read together come in the order asked for, with their revisions") {
  REQUIRE_WORLD();
  put(store, "a", "1");
  put(store, "ab", "2");
  const auto entries = store.get_all({"ab", "gone", "a", "ab"});
  REQUIRE(entries.size() == 4);
  CHECK_FALSE(entries[1]);
  for (const std::size_t place : {0U, 3U}) {
    REQUIRE(entries[place]);
    CHECK(entries[place]->key == "ab");
    CHECK(entries[place]->value == "2");
    CHECK(entries[place]->revision == revision_of(store, "ab"));
  }
  REQUIRE(entries[2]);
  CHECK(entries[2]->revision == revision_of(store, "a"));
  CHECK(store.get_all(std::vector<std::string>(64, "a")).back()->value == "1");
  CHECK_THROWS_AS(store.get_all(std::vector<std::string>(65, "a")), Error);
  CHECK_THROWS_AS(store.get_all({}), Error);
}

WORLD_CASE("store: a revision changes with every write of its key and grows across keys") {
  REQUIRE_WORLD();
  put(store, "a", "1");
  const std::int64_t first = revision_of(store, "a");
  put(store, "b", "1");
  CHECK(revision_of(store, "b") > first);
  CHECK(revision_of(store, "a") == first);
  put(store, "a", "1");
  CHECK(revision_of(store, "a") > revision_of(store, "b"));
  const std::int64_t before = revision_of(store, "a");
  store.commit({.conditions = {}, .writes = {{"a", std::nullopt}}});
  put(store, "a", "1");
  CHECK(revision_of(store, "a") > before);
}

WORLD_CASE("store: a commit happens only when its conditions hold") {
  REQUIRE_WORLD();
  CHECK(store.commit({.conditions = {{"a", 0}}, .writes = {{"a", "1"}}}));
  CHECK_FALSE(store.commit({.conditions = {{"a", 0}}, .writes = {{"a", "2"}}}));
  const std::int64_t seen = revision_of(store, "a");
  CHECK(store.commit({.conditions = {{"a", seen}}, .writes = {{"a", "3"}}}));
  CHECK_FALSE(store.commit({.conditions = {{"a", seen}}, .writes = {{"a", "4"}}}));
  CHECK_FALSE(store.commit({.conditions = {{"gone", seen}}, .writes = {{"a", "5"}}}));
  CHECK(value_of(store, "a") == "3");
}

WORLD_CASE("store: a condition can be about another key than the one written") {
  REQUIRE_WORLD();
  put(store, "volume", "1");
  const std::int64_t seen = revision_of(store, "volume");
  CHECK(store.commit({.conditions = {{"volume", seen}, {"slot", 0}}, .writes = {{"slot", "v"}}}));
  put(store, "volume", "2");
  CHECK_FALSE(store.commit({.conditions = {{"volume", seen}}, .writes = {{"slot", "w"}}}));
  CHECK(value_of(store, "slot") == "v");
}

WORLD_CASE("store: a commit that only asks whether its conditions hold says so") {
  REQUIRE_WORLD();
  put(store, "a", "1");
  CHECK(store.commit({.conditions = {{"a", revision_of(store, "a")}, {"b", 0}}, .writes = {}}));
  CHECK_FALSE(
      store.commit({.conditions = {{"a", revision_of(store, "a")}, {"b", 7}}, .writes = {}}));
  CHECK(store.commit({}));
}

WORLD_CASE("store: a removed key is gone, and removing what is not there is no error") {
  REQUIRE_WORLD();
  put(store, "a", "1");
  CHECK(store.commit({.conditions = {}, .writes = {{"a", std::nullopt}, {"b", std::nullopt}}}));
  CHECK_FALSE(store.get("a"));
  CHECK(store.commit({.conditions = {{"a", 0}}, .writes = {{"a", std::nullopt}}}));
  CHECK(store.commit({.conditions = {{"a", 0}}, .writes = {{"a", "2"}}}));
}

WORLD_CASE("store: all writes of a commit happen, or none") {
  REQUIRE_WORLD();
  put(store, "old", "1");
  const Transaction transaction{.conditions = {{"old", revision_of(store, "old")}, {"new", 0}},
                                .writes = {{"old", std::nullopt}, {"new", "2"}, {"other", "2"}}};
  put(store, "new", "in the way");
  CHECK_FALSE(store.commit(transaction));
  CHECK(value_of(store, "old") == "1");
  CHECK(value_of(store, "new") == "in the way");
  CHECK_FALSE(store.get("other"));
  store.commit({.conditions = {}, .writes = {{"new", std::nullopt}}});
  CHECK(store.commit(transaction));
  CHECK_FALSE(store.get("old"));
  CHECK(value_of(store, "new") == "2");
  CHECK(value_of(store, "other") == "2");
  CHECK(revision_of(store, "new") == revision_of(store, "other"));
}

WORLD_CASE("store: list gives what begins with the prefix, by key, with revisions") {
  REQUIRE_WORLD();
  put(store, "volumes/b", "2");
  put(store, "volumes/a", "1");
  put(store, "volumes/a/x", "3");
  put(store, "volume", "no");
  put(store, "volumes0", "no");
  const std::vector<Entry> entries = store.list("volumes/");
  CHECK(keys_of(entries) == std::vector<std::string>{"volumes/a", "volumes/a/x", "volumes/b"});
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].value == "1");
  CHECK(entries[0].revision == revision_of(store, "volumes/a"));
  CHECK(entries[0].revision > entries[2].revision);
  CHECK(store.list("volumes/c").empty());
  CHECK(keys_of(store.list("")).size() == 5);
}

WORLD_CASE("store: a list of many keys is complete and of one moment") {
  REQUIRE_WORLD();
  constexpr int kPairs = 650;
  for (int first = 0; first < kPairs; first += 30) {
    Transaction transaction;
    for (int i = first; i < std::min(first + 30, kPairs); ++i) {
      transaction.writes.push_back({"a/" + std::to_string(i), "0"});
      transaction.writes.push_back({"z/" + std::to_string(i), "0"});
    }
    store.commit(transaction);
  }
  std::atomic<bool> stop = false;
  // Always both ends of the list together: a list put together of two moments would show them
  // differ.
  std::thread writer([&] {
    for (int n = 1; !stop; ++n) {
      const std::string value = std::to_string(n);
      store.commit({.conditions = {}, .writes = {{"a/0", value}, {"z/0", value}}});
    }
  });
  for (int i = 0; i < 20; ++i) {
    const std::vector<Entry> entries = store.list("");
    CHECK(entries.size() == 2 * kPairs);
    CHECK(std::ranges::is_sorted(entries, {}, &Entry::key));
    const auto last = std::ranges::find(entries, "z/0", &Entry::key);
    REQUIRE(last != entries.end());
    CHECK(entries.front().value == last->value);
  }
  stop = true;
  writer.join();
}

WORLD_CASE("store: a transaction over the limits is refused") {
  REQUIRE_WORLD();
  Transaction most;
  most.conditions.push_back({"k1", 0});
  for (int i = 1; i <= 63; ++i) most.writes.push_back({"k" + std::to_string(i), "v"});
  CHECK(store.commit(most));
  Transaction many = most;
  many.conditions.clear();
  many.writes.push_back({"k64", "v"});
  many.writes.push_back({"k65", "v"});
  check_refused(store, many);
  CHECK_FALSE(store.get("k64"));
  check_refused(store, {.conditions = {}, .writes = {{"twice", "1"}, {"twice", std::nullopt}}});
  check_refused(store, {.conditions = {}, .writes = {{"", "1"}}});
  check_refused(store, {.conditions = {{"", 0}}, .writes = {{"a", "1"}}});
  check_refused(store, {.conditions = {{"a", -1}}, .writes = {{"a", "1"}}});
}

WORLD_CASE("store: eight threads that count in one key lose no count") {
  REQUIRE_WORLD();
  constexpr int kThreads = 8;
  constexpr int kCounts = 25;
  store.commit({.conditions = {}, .writes = {{"counter", "0"}}});
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&store] {
      for (int counted = 0; counted < kCounts;) {
        const std::optional<Entry> seen = store.get("counter");
        const std::string next = std::to_string(std::stoi(seen->value) + 1);
        const bool won = store.commit(
            {.conditions = {{"counter", seen->revision}}, .writes = {{"counter", next}}});
        if (won) ++counted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(value_of(store, "counter") == std::to_string(kThreads * kCounts));
}

WORLD_CASE("store: a watch begins with its prefix, then tells what changes below it") {
  REQUIRE_WORLD();
  put(store, "assigned/n1/old", "1");
  ChangeRecorder recorder;
  const std::unique_ptr<Watch> watch = store.watch("assigned/n1/", recorder.handler());
  REQUIRE(recorder.wait_for("assigned/n1/"));
  put(store, "assigned/n10/other", "1");
  put(store, "assigned/n1/new", "1");
  CHECK(recorder.wait_for("assigned/n1/new"));
  store.commit(
      {.conditions = {}, .writes = {{"assigned/n1/old", std::nullopt}, {"assigned/n1/z", "1"}}});
  CHECK(recorder.wait_for("assigned/n1/old"));
  CHECK(recorder.wait_for("assigned/n1/z"));
  CHECK(recorder.told().front() == "assigned/n1/");
  CHECK(recorder.count("assigned/n10/other") == 0);
  CHECK(recorder.count("assigned/n1/") == 1);
}

WORLD_CASE("store: a commit that did not happen tells a watch nothing") {
  REQUIRE_WORLD();
  ChangeRecorder recorder;
  const std::unique_ptr<Watch> watch = store.watch("", recorder.handler());
  REQUIRE(recorder.wait_for(""));
  CHECK_FALSE(store.commit({.conditions = {{"a", 7}}, .writes = {{"a", "1"}}}));
  put(store, "b", "1");
  CHECK(recorder.wait_for("b"));
  CHECK(recorder.count("a") == 0);
}

WORLD_CASE("store: watches do not disturb each other, and one that is gone is silent") {
  REQUIRE_WORLD();
  ChangeRecorder first_recorder;
  ChangeRecorder second_recorder;
  std::unique_ptr<Watch> first = store.watch("a/", first_recorder.handler());
  const std::unique_ptr<Watch> second = store.watch("", second_recorder.handler());
  REQUIRE(first_recorder.wait_for("a/"));
  REQUIRE(second_recorder.wait_for(""));
  put(store, "a/1", "1");
  CHECK(first_recorder.wait_for("a/1"));
  CHECK(second_recorder.wait_for("a/1"));
  first.reset();
  put(store, "a/2", "1");
  CHECK(second_recorder.wait_for("a/2"));
  CHECK(first_recorder.count("a/2") == 0);
}

WORLD_CASE("store: nothing that changes after the first call of a watch is missed") {
  REQUIRE_WORLD();
  for (int i = 0; i < 20; ++i) {
    const std::string prefix = "p" + std::to_string(i) + "/";
    ChangeRecorder recorder;
    const std::unique_ptr<Watch> watch = store.watch(prefix, recorder.handler());
    REQUIRE(recorder.wait_for(prefix));
    put(store, prefix + "k", "1");
    CHECK(recorder.wait_for(prefix + "k"));
  }
}

WORLD_CASE("store: a presence exists as long as its object, and watches hear of both ends") {
  REQUIRE_WORLD();
  ChangeRecorder recorder;
  const std::unique_ptr<Watch> watch = store.watch("alive/", recorder.handler());
  REQUIRE(recorder.wait_for("alive/"));
  std::unique_ptr<Presence> presence =
      store.announce("alive/n1", "x", std::chrono::seconds(30), {});
  CHECK(value_of(store, "alive/n1") == "x");
  CHECK(recorder.wait_for("alive/n1"));
  recorder.clear();
  presence.reset();
  CHECK_FALSE(store.get("alive/n1"));
  CHECK(recorder.wait_for("alive/n1"));
}

WORLD_CASE("store: a presence replaces what is there, and does not take its successor along") {
  REQUIRE_WORLD();
  put(store, "alive/n1", "left over");
  std::unique_ptr<Presence> first = store.announce("alive/n1", "1", std::chrono::seconds(30), {});
  CHECK(value_of(store, "alive/n1") == "1");
  std::unique_ptr<Presence> second = store.announce("alive/n1", "2", std::chrono::seconds(30), {});
  first.reset();
  CHECK(value_of(store, "alive/n1") == "2");
  second.reset();
  CHECK_FALSE(store.get("alive/n1"));
}

WORLD_CASE("store: a presence can be a condition of a commit") {
  REQUIRE_WORLD();
  std::unique_ptr<Presence> presence = store.announce("alive/n1", "", std::chrono::seconds(30), {});
  const std::int64_t seen = revision_of(store, "alive/n1");
  CHECK(seen > 0);
  CHECK(store.commit({.conditions = {{"alive/n1", seen}}, .writes = {{"a", "1"}}}));
  presence.reset();
  CHECK_FALSE(store.commit({.conditions = {{"alive/n1", seen}}, .writes = {{"a", "2"}}}));
}

}  // namespace plexvol::store
