#include "agent/reconcile/resync_turns.h"

#include <doctest/doctest.h>

using plexvol::drbd::ResourceState;
using plexvol::reconcile::plan_turns;
using plexvol::reconcile::ResyncTurns;
using plexvol::reconcile::Turn;
using Resources = std::map<std::string, ResourceState>;

namespace {

ResourceState resource(unsigned minor, const std::string& replication,
                       const std::string& suspended = "no") {
  ResourceState state;
  state.minor = minor;
  state.replication = replication;
  state.resync_suspended = suspended;
  state.out_of_sync_bytes = 2ULL << 30U;
  return state;
}

}  // namespace

TEST_CASE("resync turns: those of the lowest minors run, the others wait") {
  const Resources resources{{"a", resource(1003, "SyncTarget")},
                            {"b", resource(1001, "SyncSource")},
                            {"c", resource(1002, "SyncTarget")},
                            {"d", resource(1000, "Established")}};
  CHECK(plan_turns(resources, {.max = 2}) == std::vector<Turn>{{"a", false}});
  CHECK(plan_turns(resources, {.max = 1}) == std::vector<Turn>{{"c", false}, {"a", false}});
  CHECK(plan_turns(resources, {.max = 3}).empty());
}

TEST_CASE("resync turns: what waits goes on when its turn comes") {
  const Resources resources{{"a", resource(1001, "PausedSyncT", "user")},
                            {"b", resource(1002, "PausedSyncS", "user")},
                            {"c", resource(1003, "PausedSyncS", "user")}};
  CHECK(plan_turns(resources, {.max = 2}) == std::vector<Turn>{{"a", true}, {"b", true}});
}

TEST_CASE("resync turns: what the peer holds back takes nobody's place") {
  const Resources resources{{"a", resource(1001, "PausedSyncS", "peer")},
                            {"b", resource(1002, "SyncSource")}};
  CHECK(plan_turns(resources, {.max = 1}).empty());
}

TEST_CASE("resync turns: what both hold back goes on when its turn comes") {
  // Both were told of its begin at the same moment.
  Resources resources{{"a", resource(1001, "PausedSyncS", "user,peer")},
                      {"b", resource(1002, "PausedSyncS", "user,peer")}};
  CHECK(plan_turns(resources, {.max = 1}) == std::vector<Turn>{{"a", true}});
}

TEST_CASE("resync turns: what is quickly done does not wait") {
  Resources resources{{"a", resource(1001, "SyncSource")}, {"b", resource(1002, "SyncTarget")}};
  resources["b"].out_of_sync_bytes = 10U << 20U;
  CHECK(plan_turns(resources, {.max = 1}).empty());
  CHECK(plan_turns(resources, {.max = 1, .short_bytes = 10U << 20U}) ==
        std::vector<Turn>{{"b", false}});
}

TEST_CASE("resync turns: only a beginning and an end are worth a look") {
  ResyncTurns turns({.max = 2});
  CHECK_FALSE(turns.note("v", resource(1000, "Established")));
  CHECK(turns.note("v", resource(1000, "SyncTarget")));
  CHECK_FALSE(turns.note("v", resource(1000, "PausedSyncT")));
  CHECK(turns.note("v", std::nullopt));
  CHECK_FALSE(turns.note("v", std::nullopt));
  CHECK(turns.note("v", std::nullopt, true));
  CHECK_FALSE(turns.is_full("x"));
  CHECK(turns.note("w", resource(1001, "SyncSource")));
  CHECK(turns.is_full("x"));
  CHECK_FALSE(turns.is_full("v"));
  // All that were expected may begin at once.
  CHECK(turns.note("v", resource(1000, "SyncSource"), true));
  CHECK_FALSE(turns.note("v", resource(1000, "SyncSource"), true));
}

TEST_CASE("resync turns: of two passes that would move a copy at once, one does") {
  ResyncTurns turns({.max = 1});
  CHECK(turns.reserve("v"));
  CHECK_FALSE(turns.reserve("w"));
  CHECK(turns.reserve("v"));
  turns.cancel("v");
  CHECK(turns.reserve("w"));
}

TEST_CASE("resync turns: what the peer holds back keeps no copy from being moved") {
  ResyncTurns turns({.max = 1});
  CHECK(turns.note("v", resource(1000, "SyncSource")));
  CHECK(turns.note("v", resource(1000, "PausedSyncS", "peer")));
  CHECK_FALSE(turns.is_full("w"));
  CHECK_FALSE(turns.note("v", resource(1000, "PausedSyncS", "peer")));
}
