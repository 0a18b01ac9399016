#include "agent/controller/work_queue.h"

#include <doctest/doctest.h>

#include <stop_token>
#include <thread>

using plexvol::controller::WorkQueue;
using namespace std::chrono_literals;

TEST_CASE("a name is with one worker at a time, and comes again when it was added meanwhile") {
  WorkQueue queue({});
  const std::stop_source stop;
  queue.add("a");
  queue.add("a");
  CHECK(queue.take(stop.get_token()) == "a");
  queue.add("a");
  queue.add("b");
  CHECK(queue.take(stop.get_token()) == "b");
  queue.done("a");
  CHECK(queue.take(stop.get_token()) == "a");
}

TEST_CASE("what failed comes again later, and at once when it is added") {
  WorkQueue queue({.first = 1h, .longest = 2h});
  const std::stop_source stop;
  queue.add("a");
  CHECK(queue.take(stop.get_token()) == "a");
  queue.retry("a");
  queue.add("b");
  CHECK(queue.take(stop.get_token()) == "b");
  queue.add("a");
  CHECK(queue.take(stop.get_token()) == "a");
  // Added while it failed, it does not wait either.
  queue.add("a");
  queue.retry("a");
  CHECK(queue.take(stop.get_token()) == "a");
}

TEST_CASE("a pause of a retry ends") {
  WorkQueue queue({.first = 1ms, .longest = 2ms});
  const std::stop_source stop;
  queue.add("a");
  for (int i = 0; i < 70; ++i) {
    REQUIRE(queue.take(stop.get_token()) == "a");
    queue.retry("a");
  }
}

TEST_CASE("who waits hears what is added, also when it comes before what is there, and the end") {
  WorkQueue queue({});
  std::stop_source stop;
  queue.add_after("later", 1h);
  std::thread adder([&] { queue.add("now"); });
  CHECK(queue.take(stop.get_token()) == "now");
  adder.join();
  std::thread stopper([&] { stop.request_stop(); });
  CHECK_FALSE(queue.take(stop.get_token()));
  stopper.join();
}
