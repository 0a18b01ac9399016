#include "agent/kube/event_queue.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace plexvol::kube {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const EventQueue::Time kStart{std::chrono::hours(1)};

EventText text_of(const std::string& object, const std::string& message) {
  return {{"v1", "Pod", "shop", object, "", ""}, EventType::Normal, "Told", message};
}

}  // namespace

TEST_CASE(
    "event queue: in order; the same one is counted, and another version of its object is no "
    "other") {
  EventQueue queue;
  CHECK(queue.is_empty());
  CHECK(queue.add(text_of("a", "x"), kStart, 100));
  CHECK(queue.add(text_of("b", "x"), kStart, 101));
  EventText later = text_of("a", "x");
  later.about.resource_version = "17";
  CHECK(queue.add(later, kStart, 102));
  EventText warning = text_of("a", "x");
  warning.type = EventType::Warning;
  CHECK(queue.add(warning, kStart, 103));

  const auto first = queue.take(kStart);
  REQUIRE(first);
  CHECK(first->text.about.name == "a");
  CHECK(first->count == 2);
  CHECK(first->first_at == 100);
  CHECK(first->last_at == 102);
  CHECK(queue.take(kStart)->text.about.name == "b");
  CHECK(queue.take(kStart)->text.type == EventType::Warning);
  CHECK_FALSE(queue.take(kStart));
  CHECK_FALSE(queue.next(kStart));
}

TEST_CASE("event queue: no object gets more than its share, and none waits for another") {
  EventQueue queue;
  for (int i = 0; i < EventQueue::kAtOnce + 3; ++i) {
    CHECK(queue.add(text_of("a", std::to_string(i)), kStart, 0));
  }
  CHECK(queue.add(text_of("b", "x"), kStart, 0));
  for (int i = 0; i < EventQueue::kAtOnce; ++i) {
    CHECK(queue.take(kStart)->text.message == std::to_string(i));
  }
  CHECK(queue.next(kStart) == kStart);
  CHECK(queue.take(kStart)->text.about.name == "b");
  CHECK_FALSE(queue.take(kStart));
  CHECK(queue.next(kStart) == kStart + seconds(1));

  CHECK_FALSE(queue.take(kStart + milliseconds(999)));
  CHECK(queue.take(kStart + milliseconds(1500)));
  CHECK_FALSE(queue.take(kStart + milliseconds(1999)));
  CHECK(queue.take(kStart + milliseconds(2000)));  // the half second was not lost
  CHECK_FALSE(queue.take(kStart + milliseconds(2000)));
  CHECK(queue.take(kStart + seconds(3)));
  CHECK(queue.is_empty());
}

TEST_CASE("event queue: an object that was quiet has its whole share again, and not more") {
  EventQueue queue;
  const auto take_all = [&](EventQueue::Time now) {
    int taken = 0;
    for (int i = 0; i < 2 * EventQueue::kAtOnce; ++i) {
      queue.add(text_of("a", std::to_string(i)), now, 0);
    }
    while (queue.take(now)) ++taken;
    return taken;
  };
  CHECK(take_all(kStart) == EventQueue::kAtOnce);
  CHECK(take_all(kStart + seconds(10)) == 10);
  CHECK(take_all(kStart + std::chrono::hours(5)) == EventQueue::kAtOnce);
}

TEST_CASE("event queue: is bounded, in number and in time") {
  EventQueue queue;
  for (std::size_t i = 0; i < Events::kMaxWaiting; ++i) {
    CHECK(queue.add(text_of(std::to_string(i), "x"), kStart + milliseconds(i), 0));
  }
  CHECK_FALSE(queue.add(text_of("more", "x"), kStart, 0));
  CHECK(queue.add(text_of("0", "x"), kStart, 0));  // only counted
  queue.drop_old(kStart + EventQueue::kLongestWait + milliseconds(1));
  CHECK(queue.take(kStart)->text.about.name == "1");
}

TEST_CASE("event queue: what could not be sent is the first again") {
  EventQueue queue;
  queue.add(text_of("a", "x"), kStart, 0);
  queue.add(text_of("b", "x"), kStart, 0);
  auto first = queue.take(kStart);
  REQUIRE(first);
  first->name = "a.1";
  queue.put_back(*first);
  CHECK(queue.take(kStart)->name == "a.1");
}

TEST_CASE("event queue: remembers what was sent, the latest ones") {
  EventQueue queue;
  const auto remember = [&](int number, int count) {
    queue.remember(text_of("a", std::to_string(number)), {std::to_string(number), count});
  };
  CHECK_FALSE(queue.recall(text_of("a", "0")));
  remember(0, 1);
  for (std::size_t i = 1; i < EventQueue::kMostRemembered; ++i) remember(static_cast<int>(i), 1);
  remember(0, 2);
  remember(-1, 1);
  REQUIRE(queue.recall(text_of("a", "0")));
  CHECK(queue.recall(text_of("a", "0"))->count == 2);
  CHECK_FALSE(queue.recall(text_of("a", "1")));
  CHECK(queue.recall(text_of("a", "2"))->name == "2");
}

}  // namespace plexvol::kube
