#include "agent/reconcile/memory.h"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/reconcile/plan_cases.h"

using namespace plexvol::reconcile;  // NOLINT(google-build-using-namespace)

namespace {

using std::chrono::hours;

const Memory::Duration kAtOnce{0};

TEST_CASE("memory: a state counts once it has lasted, from its first look on") {
  Memory memory;
  const Wanted wanted = cases::attached(cases::mirrored());
  const Seen alone = cases::seen_mirrored("Secondary", "Connecting");
  CHECK_FALSE(memory.waits_for_peer(wanted, alone, hours(1)));
  CHECK(memory.waits_for_peer(wanted, alone, kAtOnce));
  CHECK_FALSE(memory.is_apart(wanted, alone, hours(1)));
  CHECK(memory.is_apart(wanted, alone, kAtOnce));
  CHECK_FALSE(memory.is_unable("v", true, hours(1)));
  CHECK(memory.is_unable("v", true, kAtOnce));
}

TEST_CASE("memory: what is not so has lasted for no time") {
  Memory memory;
  const Seen connected = cases::seen_mirrored("Primary", "Connected");
  const Wanted wanted = cases::attached(cases::mirrored());
  CHECK_FALSE(memory.waits_for_peer(wanted, connected, kAtOnce));
  CHECK_FALSE(memory.is_apart(wanted, connected, kAtOnce));
  CHECK_FALSE(memory.is_frozen(wanted, connected, kAtOnce));
  CHECK_FALSE(memory.is_unable("v", false, kAtOnce));
  // Whoever is primary already, or is not to be, waits for nobody.
  const Seen primary = cases::seen_mirrored("Primary", "Connecting");
  CHECK_FALSE(memory.waits_for_peer(wanted, primary, kAtOnce));
  const Seen secondary = cases::seen_mirrored("Secondary", "Connecting");
  CHECK_FALSE(memory.waits_for_peer(cases::mirrored(), secondary, kAtOnce));
}

TEST_CASE("memory: the time begins again when a state ends, and for a new volume of the name") {
  using Clock = std::chrono::steady_clock;
  Memory memory;
  memory.is_unable("v", true, hours(1));
  const auto first_look = Clock::now();
  while (Clock::now() == first_look) {
  }
  // As long as from the first look to now: so it is true exactly when that look still counts.
  const auto lasted = [&] { return memory.is_unable("v", true, Clock::now() - first_look); };
  CHECK(lasted());
  SUBCASE("it ends") {
    memory.is_unable("v", false, kAtOnce);
    CHECK_FALSE(lasted());
  }
  SUBCASE("the volume is another") {
    memory.forget("v");
    CHECK_FALSE(lasted());
  }
  SUBCASE("it goes on") {
    CHECK(lasted());
  }
}

TEST_CASE("memory: mounts that could not be looked at, on a frozen device, are not told") {
  Memory memory;
  Seen seen = cases::seen_mirrored("Primary", "Connected");
  seen.mounts = {"/mnt/a"};
  memory.record_mounts("v", seen);
  CHECK(memory.list_mounts() == std::map<std::string, std::vector<std::string>>{{"v", {"/mnt/a"}}});
  seen.resource->suspended = "fencing";
  memory.record_mounts("v", seen);
  CHECK(memory.list_mounts().empty());
  seen.resource->suspended = "no";
  memory.record_mounts("v", seen);
  memory.forget("v");
  CHECK(memory.list_mounts().empty());
}

TEST_CASE("memory: the volumes whose other copy is on one of some nodes") {
  Memory memory;
  memory.record_peer("v", "n2");
  memory.record_peer("w", "n3");
  memory.record_peer("x", "");
  CHECK(memory.list_with_peer_in({"n2", "n4"}) == std::vector<std::string>{"v"});
  memory.record_peer("v", "");
  memory.forget("w");
  CHECK(memory.list_with_peer_in({"n2", "n3"}).empty());
}

}  // namespace
