#include "agent/api/call_deadline.h"

#include <doctest/doctest.h>

#include <thread>

using plexvol::api::CallDeadline;
using std::chrono::hours;
using std::chrono::seconds;

TEST_CASE("call deadline: what a call waits for ends before the call itself [O11]") {
  const auto now = CallDeadline::Clock::now();
  CHECK(CallDeadline::earliest(now + hours(2)) == now + hours(2));
  {
    const CallDeadline call(now + hours(1));
    CHECK(CallDeadline::earliest(now + hours(2)) == now + hours(1));
    CHECK(CallDeadline::earliest(now + seconds(1)) == now + seconds(1));
    const CallDeadline longer(now + hours(3));
    CHECK(CallDeadline::earliest(now + hours(4)) == now + hours(1));
    std::thread([&] { CHECK(CallDeadline::earliest(now + hours(2)) == now + hours(2)); }).join();
  }
  CHECK(CallDeadline::earliest(now + hours(2)) == now + hours(2));
}

TEST_CASE("call deadline: what is begun late, or tidied up afterwards, has some time [O11]") {
  const auto now = CallDeadline::Clock::now();
  {
    const CallDeadline nearly_over(now + seconds(1));
    const auto given = CallDeadline::earliest(now + hours(2));
    CHECK(given >= now + seconds(1));
    CHECK(given < now + hours(1));
  }
  const CallDeadline over(now - seconds(1));
  CHECK(CallDeadline::earliest(now + hours(2)) == now + hours(2));
}
